"""The runners' process: jobs from the ledger, several at once; any number of such processes may run.

A job is leased: when its process dies, another takes it up from where it was last noted, and what was on its
way has the same ids there.
"""

import logging
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Annotated, Any, Final

import msgspec

from gateway.batches.ledger_job_store import LEASE, LedgerJobStore
from gateway.batches.status import event_of
from outcomes.db.pool import LedgerPool
from outcomes.queries.batch_runs import finish_job, release_job, take_job
from outcomes.queries.batches import Job, refused_of, states_of
from straightline.batch.items import Defaults
from straightline.batch.runner import MAX_IN_FLIGHT, Runner
from straightline.errors import ConfigurationError, ContractError, StraightLineError
from straightline.ids import new_id
from straightline.names import BatchState
from straightline.producer.producer import Producer
from straightline.storage.store import Store

log = logging.getLogger(__name__)

POLL_INTERVAL_S: Final = 0.5
"""Seconds between looks for a job, and for what the recorder still has to write."""
RETRY_INTERVAL: Final = timedelta(seconds=5)
"""Until a job that met a fault is taken again."""
RECORDING_TIMEOUT_S: Final = 60.0
"""Seconds that the last outcomes of a job may take to be recorded, before it counts as done without them."""
CONFIRM_TIMEOUT_S: Final = 10.0
"""Seconds until a request that the broker did not confirm is sent again."""


class BatchSettings(msgspec.Struct, frozen=True, kw_only=True):
    """For `python -m gateway batches`.

    Attributes:
        broker_url: `amqp://user:password@host:port/vhost`.
        database_url: of the ledger.
        store: URL of the store, where the jobs' lines lie.
        batches_at_once: jobs that one process runs at the same time.
    """

    broker_url: str
    database_url: str
    store: str | None = None
    batches_at_once: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4


def serve(settings: BatchSettings) -> None:
    """Run jobs until SIGTERM or SIGINT; must run in the main thread.

    Raises:
        ConfigurationError: there is no store, or a setting is wrong.
    """
    if settings.store is None:
        raise ConfigurationError("STRAIGHTLINE_STORE is not set: the lines of batch jobs lie there")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    at_once = settings.batches_at_once
    reader = LedgerPool(settings.database_url, name="straightline-batches", connections=at_once + 1)
    store = Store(settings.store)
    producer = Producer(
        settings.broker_url,
        store=store,
        confirm_timeout=CONFIRM_TIMEOUT_S,
        window=2 * MAX_IN_FLIGHT * at_once,
        replies=True,
        kept_results=1,
        keep_inputs=False,
    )
    log.info("running batch jobs")
    with producer, ThreadPoolExecutor(at_once, thread_name_prefix="batch") as pool:
        runners = [pool.submit(JobRunner(reader, producer, store).run, stop) for _ in range(at_once)]
        for runner in runners:
            runner.result()
    reader.close()
    log.info("stopped")


class JobRunner:
    """Takes one job after another and runs it.

    Args:
        reader: of the ledger.
        producer: sends their lines.
        store: where these lie.
    """

    def __init__(self, reader: LedgerPool, producer: Producer, store: Store) -> None:
        self._reader = reader
        self._producer = producer
        self._store = store
        self._owner = new_id()

    def run(self, stop: threading.Event) -> None:
        """Run jobs until `stop`."""
        while not stop.is_set():
            try:
                with self._reader.connection() as connection:
                    job = take_job(connection, self._owner, lease=LEASE)
                if job is None:
                    stop.wait(POLL_INTERVAL_S)
                else:
                    self._run(job, stop)
            except StraightLineError as error:
                log.warning("batch jobs wait: %s", error)
                stop.wait(POLL_INTERVAL_S)
            except Exception:
                # The lease runs out, and it is tried again; other jobs must not wait for a defect of ours.
                log.exception("a batch job met an unexpected fault")
                stop.wait(RETRY_INTERVAL.total_seconds())

    def _run(self, job: Job, stop: threading.Event) -> None:
        log.info("batch job %s is taken up at line %d", job.id, job.line)
        try:
            book = self._send(job, stop)
        except (ConfigurationError, ContractError) as error:
            log.warning("batch job %s cannot be run: %s", job.id, error)
            with self._reader.connection() as connection:
                told = partial(event_of, *_counted(connection, job.id))
                finish_job(connection, job.id, self._owner, "failed", event=told, error=str(error))
            return
        except StraightLineError as error:
            log.warning("batch job %s waits: %s", job.id, error)
            with self._reader.connection() as connection:
                release_job(connection, job.id, self._owner, pause=RETRY_INTERVAL)
            return
        if book is not None and self._recorded(job, book, stop):
            log.info("batch job %s has ended", job.id)
            return
        with self._reader.connection() as connection:
            release_job(connection, job.id, self._owner)

    def _send(self, job: Job, stop: threading.Event) -> LedgerJobStore | None:
        """Send all lines; return None where that was broken off."""
        with self._store.open(job.uri) as source:
            book = LedgerJobStore(self._reader, job, self._owner, source)
            try:
                runner = Runner(
                    job.id,
                    source,
                    self._producer,
                    book,
                    msgspec.convert(job.defaults, Defaults),
                    stop=lambda: stop.is_set() or book.lost,
                )
                return book if runner.run() and book.safe else None
            finally:
                book.close()

    def _recorded(self, job: Job, book: LedgerJobStore, stop: threading.Event) -> bool:
        """Note the end once the recorder has written the last outcomes."""
        until = time.monotonic() + RECORDING_TIMEOUT_S
        while not stop.is_set() and book.keep():
            with self._reader.connection() as connection:
                states, refused = _counted(connection, job.id)
                ended = sum(states.values()) + refused
                if ended >= book.ended or time.monotonic() > until:
                    state: BatchState = "cancelled" if book.cancelling() else "done"
                    told = partial(event_of, states, refused)
                    finish_job(connection, job.id, self._owner, state, event=told, lines=book.lines)
                    return True
            stop.wait(POLL_INTERVAL_S)
        return False


def _counted(connection: Any, job_id: str) -> tuple[dict[str, int], int]:
    """Count how a job's requests ended, and its lines that were none."""
    return states_of(connection, [job_id])[job_id], refused_of(connection, [job_id])[job_id]
