"""The webhook process: it stores pushed outcomes in the ledger and delivers what is due there.

A message is acknowledged once its notification is in the ledger, which then holds the schedule. Each delivery
is leased to one process, so any number of them may run.
"""

import signal
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from gateway.shared.relay import Relay, UnreadableMessage, serve_all
from gateway.shared.request_status import status_of
from gateway.shared.webhook_event import event
from gateway.webhooks.address import parse_hosts
from gateway.webhooks.dispatcher import WebhookDispatcher
from outcomes.db.pool import LedgerPool
from outcomes.queries.webhook_deliveries import enqueue
from straightline import names
from straightline.contracts import Outcome
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError
from straightline.ids import canonical
from straightline.support.event_log import EventLogger

log = EventLogger(__name__)

MAX_LEDGER_CONNECTIONS: Final = 10
PREFETCH: Final = 64
"""Unacknowledged messages."""


class WebhookSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of `python -m gateway webhooks`.

    Attributes:
        broker_url: `amqp://user:password@host:port/vhost`.
        database_url: `postgresql+psycopg2://...` of the ledger.
        webhook_hosts: comma-separated allowlist of private hosts, which may also use plain HTTP.
    """

    broker_url: str
    database_url: str
    webhook_hosts: str = ""

    @property
    def trusted(self) -> frozenset[str]:
        """The hosts in `webhook_hosts`."""
        return parse_hosts(self.webhook_hosts)


@dataclass(frozen=True, slots=True)
class Notification:
    """A webhook call to make: ids of the webhook and the request, and the body."""

    webhook_id: str
    request_id: str
    body: bytes


def serve(settings: WebhookSettings) -> None:
    """Deliver webhooks until SIGTERM or SIGINT; must run in the main thread.

    Raises:
        ConfigurationError: a setting is invalid.
    """
    stop, trusted = threading.Event(), settings.trusted
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    ledger = LedgerPool(
        settings.database_url, name="straightline-webhooks", connections=MAX_LEDGER_CONNECTIONS
    )
    writer = ThreadPoolExecutor(1, thread_name_prefix="writer")

    def store(notification: Notification) -> Future[None]:
        return writer.submit(_store, ledger, notification)

    relay = Relay(settings.broker_url, names.WEBHOOKS_QUEUE, notification_for, store, prefetch=PREFETCH)
    log.info("process_started")
    try:
        serve_all([relay], lambda: WebhookDispatcher(ledger, trusted).run(stop))
    finally:
        writer.shutdown()
        ledger.close()
    log.info("process_stopped")


def notification_for(properties: Any, body: bytes) -> Notification:
    """Return the notification for a pushed outcome, whose correlation id is the id of the webhook.

    Raises:
        UnreadableMessage: the body is not an outcome, or the correlation id is not an id.
    """
    webhook_id = canonical(properties.correlation_id or "")
    try:
        outcome = decode(body, Outcome)
    except ContractError as error:
        raise UnreadableMessage(f"not an outcome: {error}") from error
    if webhook_id is None:
        raise UnreadableMessage("its correlation id is not the id of a webhook")
    body = event(f"request.{outcome.state}", outcome.finished_at, status_of(outcome))
    return Notification(webhook_id, outcome.request_id, body)


def _store(ledger: LedgerPool, notification: Notification) -> None:
    with ledger.connection() as connection:
        enqueue(connection, notification.webhook_id, notification.request_id, notification.body)
