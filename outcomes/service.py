"""The recorder as a process: its parts put together, signals, and a clean end."""

import logging
import signal
import threading

from outcomes.intake import Intake
from outcomes.ledger import Ledger
from outcomes.recorder import Recorder
from outcomes.settings import RecorderSettings
from straightline.amqp.publisher import Publisher

logger = logging.getLogger(__name__)

GRACE = 8.0
"""Seconds for the batch at hand after SIGTERM. What is not committed by then comes back from the queue."""


def serve(settings: RecorderSettings) -> int:
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
    intake = Intake(settings.broker_url, prefetch=settings.recorder_prefetch)
    outbox = Publisher(settings.broker_url, name="straightline-recorder-replies")
    recorder = Recorder(intake, ledger, outbox, gather=settings.recorder_gather)
    ended = threading.Event()
    asked = False

    def work() -> None:
        try:
            recorder.run()
        finally:
            ended.set()

    def stop(_signal: int, _frame: object) -> None:
        nonlocal asked
        asked = True  # no more than that: a handler that takes a lock may wait for the thread it interrupted

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    # A daemon: a database that hangs in the middle of a statement must not keep the process from ending.
    worker = threading.Thread(target=work, name="recorder", daemon=True)
    intake.start()
    worker.start()
    logger.info("recording outcomes")
    while not asked and not ended.wait(0.2):
        pass
    recorder.stop()
    worker.join(GRACE)
    intake.stop()
    outbox.close(timeout=2.0)
    if worker.is_alive():
        logger.warning("the batch at hand was not committed in time; it comes back from the queue")
    else:
        ledger.close()
    logger.info("stopped")
    return 0 if asked else 1
