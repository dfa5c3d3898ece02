"""Assembles the recorder and reconciler processes and runs them."""

import logging

from outcomes.db.database import engine_for
from outcomes.loops import run_until_signal
from outcomes.messaging.batch_consumer import BatchConsumer
from outcomes.reconciling.dead_letter_processor import PREFETCH, DeadLetterProcessor
from outcomes.reconciling.dead_letter_table import DeadLetterTable
from outcomes.reconciling.reconciler import Reconciler
from outcomes.reconciling.store_gc import StoreSweeper
from outcomes.recording.ledger import Ledger
from outcomes.recording.recorder import Recorder
from outcomes.recording.request_log import RequestLog
from outcomes.registry.announcer import Announcer
from outcomes.registry.stream_monitor import RegistryStreamMonitor
from outcomes.settings import ReconcilerSettings, RecorderSettings
from straightline import names
from straightline.amqp.publishing.publisher import Publisher
from straightline.contracts.request import MAX_BODY_BYTES
from straightline.errors import ConfigurationError
from straightline.storage.store import Store
from straightline.support.event_log import EventLogger
from straightline.support.logs import LogOutput

logger = EventLogger(__name__)


def run_recorder(settings: RecorderSettings, output: LogOutput) -> int:
    """Record outcomes until SIGTERM or SIGINT. Must run in the main thread.

    Returns:
        Exit code: 0, or 1 if the recorder ended by itself.

    Raises:
        ConfigurationError: a URL in the settings is invalid.
    """
    logs_requests = settings.log_requests and output.shows(logging.INFO)
    ledger = Ledger(
        settings.database_url,
        statement_timeout=settings.recorder_statement_timeout,
        lock_timeout=settings.recorder_lock_timeout,
        on_recorded=RequestLog(output).write if logs_requests else None,
    )
    consumer = BatchConsumer(settings.broker_url, prefetch=settings.recorder_prefetch)
    outbox = Publisher(settings.broker_url, name="straightline-recorder-replies")
    recorder = Recorder(consumer, ledger, outbox, gather=settings.recorder_gather)
    consumer.start()
    logger.info("process_started")
    stopped = run_until_signal([recorder])
    consumer.stop()
    outbox.close(timeout=2.0)
    if stopped.in_time:
        ledger.close()
    logger.info("process_stopped")
    return 0 if stopped.by_signal else 1


def run_reconciler(settings: ReconcilerSettings) -> int:
    """Reconcile, process dead letters, announce the registry and sweep the store until SIGTERM or SIGINT.

    Must run in the main thread.

    Returns:
        Exit code: 0, or 1 if a loop ended by itself.

    Raises:
        ConfigurationError: a URL in the settings is invalid, or the broker denies its user access.
    """
    engine = engine_for(
        settings.database_url,
        name="straightline-reconciler",
        statement_timeout=60.0,
        lock_timeout=5.0,
        pool_size=3,
    )
    sweepers = _sweepers(settings)
    dead_letters = DeadLetterTable(settings.database_url, body_bytes=settings.reconciler_body_bytes)
    consumer = _dead_letter_consumer(settings.broker_url)
    # A dead placement yields outcomes of all its requests, with the reasons of each placement.
    outbox = Publisher(settings.broker_url, name="straightline-reconciler-out", max_body=2 * MAX_BODY_BYTES)
    # A connection of its own: a broker without the registry exchange would close the others' channel.
    registry_outbox = Publisher(settings.broker_url, name="straightline-reconciler-registry")
    monitor = RegistryStreamMonitor(settings.broker_url)
    monitor.start()
    interval = settings.reconciler_interval
    logger.info("process_started")
    stopped = run_until_signal(
        [
            Reconciler(engine, consumer, outbox, interval=interval),
            DeadLetterProcessor(consumer, dead_letters, outbox),
            Announcer(engine, registry_outbox, monitor.revision, interval=interval),
            *sweepers,
        ]
    )
    consumer.stop()
    outbox.close(timeout=2.0)
    registry_outbox.close(timeout=2.0)
    monitor.close()
    if stopped.in_time:
        dead_letters.close()
    logger.info("process_stopped")
    return 0 if stopped.by_signal else 1


def _dead_letter_consumer(broker_url: str) -> BatchConsumer:
    consumer = BatchConsumer(
        broker_url, prefetch=PREFETCH, queue=names.DEAD_QUEUE, name="straightline-reconciler"
    )
    consumer.start()
    try:
        consumer.require_access()
    except ConfigurationError:
        consumer.stop()
        raise
    return consumer


def _sweepers(settings: ReconcilerSettings) -> list[StoreSweeper]:
    """Return a sweeper if there is a store and this process sweeps it."""
    if not settings.store or not settings.sweep_interval:
        return []
    return [StoreSweeper(Store(settings.store), interval=settings.sweep_interval, keep=settings.store_keep)]
