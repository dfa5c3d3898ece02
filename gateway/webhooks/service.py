"""The webhooks' process: outcomes from their queue into the ledger, and from there to who is to be told.

The queue's messages are acknowledged once they stand in the ledger, which then keeps the schedule. What is
due is taken by one process at a time, so any number of them may run.
"""

import logging
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import msgspec

from gateway.shared.relay import Relay, UnreadableMessage, serve_all
from gateway.shared.request_status import status_of
from gateway.shared.webhook_event import event
from gateway.webhooks.address import parse_hosts
from gateway.webhooks.schedule import retry_delay
from gateway.webhooks.sender import DeliveryFailed, send
from gateway.webhooks.signing import headers
from outcomes.db.errors import LedgerUnavailable
from outcomes.db.pool import LedgerPool
from outcomes.queries.webhook_deliveries import DueDelivery, enqueue, record_attempt, take_due
from straightline import names
from straightline.contracts import Outcome
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError, StraightLineError
from straightline.ids import canonical

log = logging.getLogger(__name__)

MAX_DELIVERIES: Final = 32
"""Receivers that are waited for at the same time."""
MAX_DELIVERIES_PER_KEY: Final = 4
"""Receivers that hang delay their own key alone, unless those of eight keys hang."""
MAX_LEDGER_CONNECTIONS: Final = 10
"""To the ledger."""
LEASE: Final = timedelta(seconds=120)
"""Longer than a try can take, and than noting it, where half a minute goes by each time without a free
connection; what a process that died had taken is due again after it."""
POLL_INTERVAL_S: Final = 0.5
"""Seconds between looks for what is due, and between tries to note what became of it."""
MAX_RECORD_ATTEMPTS: Final = 3
"""Times that the ledger is asked to note it: what is not noted is sent again after the lease."""


class WebhookSettings(msgspec.Struct, frozen=True, kw_only=True):
    """For `python -m gateway webhooks`.

    Attributes:
        broker_url: `amqp://user:password@host:port/vhost`.
        database_url: of the ledger.
        webhook_hosts: hosts, separated by commas, that may lie in our own network and speak plain HTTP.
    """

    broker_url: str
    database_url: str
    webhook_hosts: str = ""

    @property
    def trusted(self) -> frozenset[str]:
        """The hosts, each by itself."""
        return parse_hosts(self.webhook_hosts)


@dataclass(frozen=True, slots=True)
class Notification:
    """What a webhook is to be told: its id, the request's, and the body to send."""

    webhook_id: str
    request_id: str
    body: bytes


def serve(settings: WebhookSettings) -> None:
    """Deliver until SIGTERM or SIGINT; must run in the main thread.

    Raises:
        ConfigurationError: a setting cannot be used.
    """
    stop, trusted = threading.Event(), settings.trusted
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    reader = LedgerPool(
        settings.database_url, name="straightline-webhooks", connections=MAX_LEDGER_CONNECTIONS
    )
    keeper = ThreadPoolExecutor(1, thread_name_prefix="keeper")

    def keep(told: Notification) -> Future[None]:
        return keeper.submit(_keep, reader, told)

    relay = Relay(settings.broker_url, names.WEBHOOKS_QUEUE, notification_for, keep, prefetch=64)
    log.info("telling webhooks")
    try:
        serve_all([relay], lambda: WebhookDispatcher(reader, trusted).run(stop))
    finally:
        keeper.shutdown()
        reader.close()
    log.info("stopped")


def notification_for(properties: Any, body: bytes) -> Notification:
    """Return what is to be told of a pushed outcome; its correlation id is the webhook's id.

    Raises:
        Unreadable: it is none.
    """
    webhook_id = canonical(properties.correlation_id or "")
    try:
        outcome = decode(body, Outcome)
    except ContractError as error:
        raise UnreadableMessage(f"not an outcome: {error}") from error
    if webhook_id is None:
        raise UnreadableMessage("it names no webhook")
    body = event(f"request.{outcome.state}", outcome.finished_at, status_of(outcome))
    return Notification(webhook_id, outcome.request_id, body)


class WebhookDispatcher:
    """Sends what is due, several at a time, and of no key more than its share.

    Args:
        reader: of the ledger.
        trusted: hosts that may lie in our own network.
    """

    def __init__(self, reader: LedgerPool, trusted: Collection[str]) -> None:
        self._reader = reader
        self._trusted = trusted
        self._lock = threading.Lock()
        self._running: Counter[str] = Counter()  # by the key
        self._ended = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Look for what is due until `stop`."""
        with ThreadPoolExecutor(MAX_DELIVERIES, thread_name_prefix="webhook") as senders:
            while not stop.is_set():
                self._ended.clear()
                due = self._take()
                for each in due:
                    senders.submit(self._try, each)
                if not due:
                    self._ended.wait(POLL_INTERVAL_S)  # or until one more may be taken

    def _take(self) -> list[DueDelivery]:
        with self._lock:
            running = +self._running
        free = MAX_DELIVERIES - running.total()
        if free <= 0:
            return []
        try:
            with self._reader.connection() as connection:
                due = take_due(
                    connection, limit=free, lease=LEASE, max_per_key=MAX_DELIVERIES_PER_KEY, running=running
                )
        except StraightLineError as error:
            log.warning("webhooks wait: %s", error)
            return []
        with self._lock:
            self._running.update(each.webhook.key_id for each in due)
        return due

    def _try(self, due: DueDelivery) -> None:
        try:
            self._tell(due)
        except StraightLineError as error:
            log.warning("webhooks wait: %s", error)
        except Exception:
            # It is due again when its lease is over; the others must not wait for a defect of ours.
            log.exception("webhook %s met an unexpected fault", due.webhook.id)
        finally:
            with self._lock:
                self._running[due.webhook.key_id] -= 1
            self._ended.set()

    def _tell(self, due: DueDelivery) -> None:
        error, again_in = None, None
        signed = headers(due.webhook.secret, due.id, int(time.time()), due.body)
        try:
            send(due.webhook.url, due.body, signed, self._trusted)
        except DeliveryFailed as why:
            error = str(why)
            if not why.final:
                again_in = retry_delay(due.failures + 1, random.random())  # noqa: S311 - jitter is no secret
            log.log(
                logging.INFO if again_in is not None else logging.WARNING,
                "webhook %s was not taken (%s); %s",
                due.webhook.id,
                error,
                "it is given up" if again_in is None else f"trying again in {again_in:.0f} s",
            )
        self._note(due, again_in, error)

    def _note(self, due: DueDelivery, again_in: float | None, error: str | None) -> None:
        for tried in range(1, MAX_RECORD_ATTEMPTS + 1):
            try:
                with self._reader.connection() as connection:
                    record_attempt(connection, due, again_in=again_in, error=error)
            except LedgerUnavailable as why:
                if tried == MAX_RECORD_ATTEMPTS:
                    raise
                log.warning("what became of webhook %s waits: %s", due.webhook.id, why)
                time.sleep(POLL_INTERVAL_S)
            else:
                return


def _keep(reader: LedgerPool, told: Notification) -> None:
    with reader.connection() as connection:
        enqueue(connection, told.webhook_id, told.request_id, told.body)
