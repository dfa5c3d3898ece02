"""Recorder and reconciler as processes: their parts put together, signals, and a clean end."""

import logging
import signal
import threading
from collections.abc import Sequence
from typing import Final, Protocol

from outcomes.db.database import engine_for
from outcomes.messaging.batch_consumer import BatchConsumer
from outcomes.reconciling.dead_letter_processor import PREFETCH, DeadLetterProcessor
from outcomes.reconciling.dead_letter_table import DeadLetterTable
from outcomes.reconciling.reconciler import Reconciler
from outcomes.reconciling.store_gc import StoreSweeper
from outcomes.recording.ledger import Ledger
from outcomes.recording.recorder import Recorder
from outcomes.registry.announcer import Announcer
from outcomes.registry.stream_monitor import RegistryStreamMonitor
from outcomes.settings import ReconcilerSettings, RecorderSettings
from straightline import names
from straightline.amqp.publishing.publisher import Publisher
from straightline.contracts.request import MAX_BODY_BYTES
from straightline.errors import ConfigurationError
from straightline.storage.store import Store

logger = logging.getLogger(__name__)

STOP_TIMEOUT_S: Final = 8.0
"""Seconds for the work at hand after SIGTERM. What is not committed by then comes back from the queue."""


class Loop(Protocol):
    """What works until it is told to stop."""

    def run(self) -> None:
        """Work until `stop`."""
        ...

    def stop(self) -> None:
        """Make `run` return soon; from any thread."""
        ...


def run_recorder(settings: RecorderSettings) -> int:
    """Record until SIGTERM or SIGINT; must run in the main thread.

    Returns:
        The exit code: 0, or 1 where the recorder ended by itself.

    Raises:
        ConfigurationError: a URL in the settings is none.
    """
    ledger = Ledger(
        settings.database_url,
        statement_timeout=settings.recorder_statement_timeout,
        lock_timeout=settings.recorder_lock_timeout,
    )
    intake = BatchConsumer(settings.broker_url, prefetch=settings.recorder_prefetch)
    outbox = Publisher(settings.broker_url, name="straightline-recorder-replies")
    recorder = Recorder(intake, ledger, outbox, gather=settings.recorder_gather)
    intake.start()
    logger.info("recording outcomes")
    asked, ended = _attend([recorder])
    intake.stop()
    outbox.close(timeout=2.0)
    if ended:
        ledger.close()
    logger.info("stopped")
    return 0 if asked else 1


def run_reconciler(settings: ReconcilerSettings) -> int:
    """Reconcile, see to dead letters, sweep the store, until a signal; must run in the main thread.

    Returns:
        The exit code: 0, or 1 where a part ended by itself.

    Raises:
        ConfigurationError: a URL in the settings is none, or the broker's is of a user who may not do it.
    """
    engine = engine_for(
        settings.database_url,
        name="straightline-reconciler",
        statement_timeout=60.0,
        lock_timeout=5.0,
        pool_size=3,
    )
    sweepers = _sweepers(settings)
    letters = DeadLetterTable(settings.database_url, kept=settings.reconciler_body_bytes)
    intake = BatchConsumer(
        settings.broker_url, prefetch=PREFETCH, queue=names.DEAD_QUEUE, name="straightline-reconciler"
    )
    intake.start()
    try:
        intake.admitted()
    except ConfigurationError:
        intake.stop()
        raise
    # What died may be a placement: all its requests, and their reasons.
    outbox = Publisher(settings.broker_url, name="straightline-reconciler-out", max_body=2 * MAX_BODY_BYTES)
    reconciler = Reconciler(engine, intake, outbox, interval=settings.reconciler_interval)
    logger.info("seeing to dead letters, and to what is past its lease")
    # A connection of its own: a broker without its exchange would take the others' channel with it.
    speaker = Publisher(settings.broker_url, name="straightline-reconciler-registry")
    overheard = RegistryStreamMonitor(settings.broker_url)
    overheard.start()
    announcer = Announcer(engine, speaker, overheard.revision, interval=settings.reconciler_interval)
    asked, ended = _attend([reconciler, DeadLetterProcessor(intake, letters, outbox), announcer, *sweepers])
    intake.stop()
    outbox.close(timeout=2.0)
    speaker.close(timeout=2.0)
    overheard.close()
    if ended:
        letters.close()
    logger.info("stopped")
    return 0 if asked else 1


def _sweepers(settings: ReconcilerSettings) -> list[StoreSweeper]:
    """Return what sweeps the store, where there is one that is to be swept here."""
    if not settings.store or not settings.sweep_interval:
        return []
    return [StoreSweeper(Store(settings.store), interval=settings.sweep_interval, keep=settings.store_keep)]


def _attend(loops: Sequence[Loop]) -> tuple[bool, bool]:
    """Run loops on threads until a signal, or until one of them ends; then stop all.

    Returns:
        Whether a signal asked for the end, and whether all ended in time.
    """
    ended = threading.Event()
    asked = False

    def work(loop: Loop) -> None:
        try:
            loop.run()
        finally:
            ended.set()

    def stop(_signal: int, _frame: object) -> None:
        nonlocal asked
        asked = True  # no more than that: a handler that takes a lock may wait for the thread it interrupted

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    # Daemons: a database that hangs in the middle of a statement must not keep the process from ending.
    threads = [
        threading.Thread(target=work, args=(loop,), name=type(loop).__name__.lower(), daemon=True)
        for loop in loops
    ]
    for thread in threads:
        thread.start()
    while not asked and not ended.wait(0.2):
        pass
    for loop in loops:
        loop.stop()
    for thread in threads:
        thread.join(STOP_TIMEOUT_S / len(threads))
    alive = any(thread.is_alive() for thread in threads)
    if alive:
        logger.warning("the work at hand was not done in time; what it had comes back from the queue")
    return asked, not alive
