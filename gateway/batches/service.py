"""The batch process: it runs several jobs of the ledger at once, beside any number of other processes.

Jobs are leased. When a process dies, another one resumes its jobs from their last checkpoint; requests that
are submitted again keep their ids, so they run once.
"""

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
from straightline.support.event_log import EventLogger

log = EventLogger(__name__)

POLL_INTERVAL_S: Final = 0.5
RETRY_INTERVAL: Final = timedelta(seconds=5)
"""Time until a failed job is retried."""
RECORDING_TIMEOUT_S: Final = 60.0
"""Longest wait for the recorder to store the last outcomes of a job before the job counts as done."""
CONFIRM_TIMEOUT_S: Final = 10.0
"""Time until an unconfirmed request is published again."""


class BatchSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of `python -m gateway batches`.

    Attributes:
        broker_url: `amqp://user:password@host:port/vhost`.
        database_url: `postgresql+psycopg2://...` of the ledger.
        store: URL of the store, which holds the lines of the jobs.
        batches_at_once: jobs that a process runs concurrently.
    """

    broker_url: str
    database_url: str
    store: str | None = None
    batches_at_once: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4


def serve(settings: BatchSettings) -> None:
    """Run jobs until SIGTERM or SIGINT; must run in the main thread.

    Raises:
        ConfigurationError: the store is not set, or a setting is invalid.
    """
    if settings.store is None:
        raise ConfigurationError("STRAIGHTLINE_STORE is not set: it must hold the lines of batch jobs")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    at_once = settings.batches_at_once
    ledger = LedgerPool(settings.database_url, name="straightline-batches", connections=at_once + 1)
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
    log.info("process_started")
    with producer, ThreadPoolExecutor(at_once, thread_name_prefix="batch") as pool:
        runners = [pool.submit(JobRunner(ledger, producer, store).run, stop) for _ in range(at_once)]
        for runner in runners:
            runner.result()
    ledger.close()
    log.info("process_stopped")


class JobRunner:
    """Leases and runs one job at a time.

    Args:
        ledger: holds the jobs.
        producer: submits their lines.
        store: holds their lines.
    """

    def __init__(self, ledger: LedgerPool, producer: Producer, store: Store) -> None:
        self._ledger = ledger
        self._producer = producer
        self._store = store
        self._owner = new_id()

    def run(self, stop: threading.Event) -> None:
        """Run jobs until `stop`."""
        while not stop.is_set():
            try:
                with self._ledger.connection() as connection:
                    job = take_job(connection, self._owner, lease=LEASE)
                if job is None:
                    stop.wait(POLL_INTERVAL_S)
                else:
                    self._run(job, stop)
            except StraightLineError as error:
                log.warning("jobs_not_taken", error=error)
                stop.wait(POLL_INTERVAL_S)
            except Exception:
                # The job is retried after its lease; a defect here must not stop other jobs.
                log.exception("job_attempt_failed")
                stop.wait(RETRY_INTERVAL.total_seconds())

    def _run(self, job: Job, stop: threading.Event) -> None:
        log.info("job_started", job_id=job.id, line=job.line)
        try:
            job_store = self._send(job, stop)
        except (ConfigurationError, ContractError) as error:
            log.warning("job_failed", job_id=job.id, error=error)
            with self._ledger.connection() as connection:
                job_event = partial(event_of, *_counted(connection, job.id))
                finish_job(connection, job.id, self._owner, "failed", event=job_event, error=str(error))
            return
        except StraightLineError as error:
            log.warning("job_postponed", job_id=job.id, error=error)
            with self._ledger.connection() as connection:
                release_job(connection, job.id, self._owner, pause=RETRY_INTERVAL)
            return
        if job_store is not None and self._recorded(job, job_store, stop):
            log.info("job_ended", job_id=job.id)
            return
        with self._ledger.connection() as connection:
            release_job(connection, job.id, self._owner)

    def _send(self, job: Job, stop: threading.Event) -> LedgerJobStore | None:
        """Submit all lines; return None if that was interrupted."""
        with self._store.open(job.uri) as source:
            job_store = LedgerJobStore(self._ledger, job, self._owner, source)
            try:
                runner = Runner(
                    job.id,
                    source,
                    self._producer,
                    job_store,
                    msgspec.convert(job.defaults, Defaults),
                    stop=lambda: stop.is_set() or job_store.lost,
                )
                return job_store if runner.run() and job_store.safe else None
            finally:
                job_store.close()

    def _recorded(self, job: Job, job_store: LedgerJobStore, stop: threading.Event) -> bool:
        """End the job once the recorder has stored its last outcomes."""
        until = time.monotonic() + RECORDING_TIMEOUT_S
        while not stop.is_set() and job_store.renew_lease():
            with self._ledger.connection() as connection:
                states, refused = _counted(connection, job.id)
                ended = sum(states.values()) + refused
                if ended >= job_store.ended or time.monotonic() > until:
                    state: BatchState = "cancelled" if job_store.cancelling() else "done"
                    job_event = partial(event_of, states, refused)
                    finish_job(connection, job.id, self._owner, state, event=job_event, lines=job_store.lines)
                    return True
            stop.wait(POLL_INTERVAL_S)
        return False


def _counted(connection: Any, job_id: str) -> tuple[dict[str, int], int]:
    """Count the ended requests of a job by state, and its invalid lines."""
    return states_of(connection, [job_id])[job_id], refused_of(connection, [job_id])[job_id]
