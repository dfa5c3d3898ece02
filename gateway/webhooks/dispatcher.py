"""Delivery of due webhooks, several at a time, with a limit for each key."""

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Final

from gateway.webhooks.schedule import retry_delay
from gateway.webhooks.sender import DeliveryFailed, send
from gateway.webhooks.signing import headers
from outcomes.db.errors import LedgerUnavailable
from outcomes.db.pool import LedgerPool
from outcomes.queries.webhook_deliveries import DueDelivery, record_attempt, take_due
from straightline.errors import StraightLineError
from straightline.support.event_log import EventLogger

log = EventLogger(__name__)

MAX_DELIVERIES: Final = 32
"""Concurrent deliveries of a process."""
MAX_DELIVERIES_PER_KEY: Final = 4
"""Hanging receivers delay only their own key, unless eight keys have hanging receivers."""
LEASE: Final = timedelta(seconds=120)
"""Longer than an attempt and its record take, each wait for a connection being up to 30 s. After it, the
deliveries of a dead process are due again."""
POLL_INTERVAL_S: Final = 0.5
MAX_RECORD_ATTEMPTS: Final = 3
"""An attempt that cannot be recorded is repeated after its lease."""


class WebhookDispatcher:
    """Sends due webhooks and records each attempt.

    Args:
        ledger: holds the schedule.
        trusted: allowlisted private hosts.
    """

    def __init__(self, ledger: LedgerPool, trusted: Collection[str]) -> None:
        self._ledger = ledger
        self._trusted = trusted
        self._lock = threading.Lock()
        self._running: Counter[str] = Counter()  # by key
        self._ended = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Deliver until `stop` is set."""
        with ThreadPoolExecutor(MAX_DELIVERIES, thread_name_prefix="webhook") as senders:
            while not stop.is_set():
                self._ended.clear()
                due = self._take()
                for each in due:
                    senders.submit(self._run_one, each)
                if not due:
                    self._ended.wait(POLL_INTERVAL_S)  # a finished delivery makes room for another

    def _take(self) -> list[DueDelivery]:
        with self._lock:
            running = +self._running
        free = MAX_DELIVERIES - running.total()
        if free <= 0:
            return []
        try:
            with self._ledger.connection() as connection:
                due = take_due(
                    connection, limit=free, lease=LEASE, max_per_key=MAX_DELIVERIES_PER_KEY, running=running
                )
        except StraightLineError as error:
            log.warning("webhooks_not_taken", error=error)
            return []
        with self._lock:
            self._running.update(each.webhook.key_id for each in due)
        return due

    def _run_one(self, due: DueDelivery) -> None:
        try:
            self._deliver(due)
        except StraightLineError as error:
            log.warning("webhook_postponed", webhook_id=due.webhook.id, error=error)
        except Exception:
            # The delivery is due again after its lease; a defect here must not stop the others.
            log.exception("webhook_attempt_failed", webhook_id=due.webhook.id)
        finally:
            with self._lock:
                self._running[due.webhook.key_id] -= 1
            self._ended.set()

    def _deliver(self, due: DueDelivery) -> None:
        problem, retry_in = None, None
        signed = headers(due.webhook.secret, due.id, int(time.time()), due.body)
        try:
            send(due.webhook.url, due.body, signed, self._trusted)
        except DeliveryFailed as error:
            problem = str(error)
            if not error.final:
                retry_in = retry_delay(due.failures + 1, random.random())  # noqa: S311 - jitter is no secret
            log.log(
                logging.INFO if retry_in is not None else logging.WARNING,
                "webhook_not_delivered",
                webhook_id=due.webhook.id,
                error=problem,
                retry_in_s=retry_in,
            )
        self._record(due, retry_in, problem)

    def _record(self, due: DueDelivery, retry_in: float | None, problem: str | None) -> None:
        for attempt in range(1, MAX_RECORD_ATTEMPTS + 1):
            try:
                with self._ledger.connection() as connection:
                    record_attempt(connection, due, again_in=retry_in, error=problem)
            except LedgerUnavailable as error:
                if attempt == MAX_RECORD_ATTEMPTS:
                    raise
                log.warning("webhook_attempt_not_recorded", webhook_id=due.webhook.id, error=error)
                time.sleep(POLL_INTERVAL_S)
            else:
                return
