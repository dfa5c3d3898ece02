"""RabbitMQ's exchanges, queues and bindings, as kombu objects.

Every queue with requests is a quorum queue that rejects publishes when full (`reject-publish`) and
dead-letters at least once, so a publisher confirm guarantees that the message is safe.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from kombu import Exchange, Queue

from straightline import names

DELIVERY_LIMIT: Final = 20
"""Redeliveries until a message is dead-lettered; explicit, since RabbitMQ 3 has no limit and 4 has 20."""

REQUESTS: Final = Exchange(names.REQUESTS, type="direct", durable=True)
PLACEMENTS: Final = Exchange(names.PLACEMENTS, type="direct", durable=True)
OUTCOMES: Final = Exchange(names.OUTCOMES, type="direct", durable=True)
REPLIES: Final = Exchange(names.REPLIES, type="direct", durable=True)
ADAPTER_REPLIES: Final = Exchange(names.ADAPTER_REPLIES, type="direct", durable=True)
SIGNALS: Final = Exchange(names.SIGNALS, type="direct", durable=True)
STATUS: Final = Exchange(names.STATUS, type="direct", durable=True)
DELAYS: Final = Exchange(names.DELAYS, type="direct", durable=True)
RETURNS: Final = Exchange(names.RETURNS, type="fanout", durable=True)
REGISTRY: Final = Exchange(names.REGISTRY, type="direct", durable=True)
DEAD: Final = Exchange(names.DEAD, type="fanout", durable=True)

EXCHANGES: Final = (
    REQUESTS,
    PLACEMENTS,
    OUTCOMES,
    REPLIES,
    ADAPTER_REPLIES,
    SIGNALS,
    STATUS,
    DELAYS,
    RETURNS,
    REGISTRY,
    DEAD,
)


def _quorum(dead_letter_exchange: str | None, extra: Mapping[str, Any]) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "x-queue-type": "quorum",
        "x-overflow": "reject-publish",
        "x-delivery-limit": DELIVERY_LIMIT,
    }
    if dead_letter_exchange is not None:
        arguments |= {
            "x-dead-letter-exchange": dead_letter_exchange,
            "x-dead-letter-strategy": "at-least-once",
        }
    return arguments | dict(extra)


def _queue(
    name: str,
    exchange: Exchange,
    key: str,
    *,
    dead: str | None = names.DEAD,
    extra: Mapping[str, Any] = MappingProxyType({}),
) -> Queue:
    return Queue(name, exchange, routing_key=key, durable=True, queue_arguments=_quorum(dead, extra))


def _stream(
    name: str,
    exchange: Exchange,
    key: str,
    *,
    max_bytes: int,
    extra: Mapping[str, Any] = MappingProxyType({}),
) -> Queue:
    """Return a stream that drops its oldest segments above `max_bytes`, except the last one."""
    arguments = {
        "x-queue-type": "stream",
        "x-max-length-bytes": max_bytes,
        "x-stream-max-segment-size-bytes": 4 * 1024 * 1024,
    }
    return Queue(name, exchange, routing_key=key, durable=True, queue_arguments=arguments | dict(extra))


SCHEDULER_QUEUES: Final = tuple(
    _queue(name, exchange, key, extra={"x-single-active-consumer": True})
    for name, exchange, key in (
        (names.INTERACTIVE_QUEUE, REQUESTS, "interactive"),
        (names.BATCH_QUEUE, REQUESTS, "batch"),
        (names.CANCELS_QUEUE, REQUESTS, names.CANCEL_KEY),
        (names.RETURNS_QUEUE, RETURNS, ""),
        (names.ATTEMPTS_QUEUE, OUTCOMES, names.ATTEMPT_KEY),
    )
)
"""The scheduler's queues, consumed by one scheduler at a time."""

CANCELLED_STREAM: Final = _stream(
    names.CANCELLED_STREAM,
    PLACEMENTS,
    names.CANCELLED_KEY,
    max_bytes=64 * 1024 * 1024,
    extra={"x-max-age": "2D"},
)
"""Cancelled ids, for pools and schedulers; one that was down reads them when it starts."""
MARKS_BINDING: Final = (names.CANCELLED_STREAM, names.SIGNALS, names.MARK_KEY)
"""A reader publishes a mark, and has read all earlier entries once it receives the mark."""

DEPLOYED_STREAM: Final = _stream(
    names.DEPLOYED_STREAM, REGISTRY, names.DEPLOYED_KEY, max_bytes=16 * 1024 * 1024
)
"""The deployments, for schedulers, pools and gateways; each entry holds all of them."""
DEPLOYED_MARKS_BINDING: Final = (names.DEPLOYED_STREAM, names.SIGNALS, names.DEPLOYED_MARK_KEY)

STATUS_STREAM: Final = _stream(
    names.STATUS_STREAM, STATUS, names.STATUS_KEY, max_bytes=32 * 1024 * 1024, extra={"x-max-age": "2D"}
)
"""How far unfinished requests came, for gateways; those that start later read what is kept."""

POOL_QUEUES: Final = tuple(
    _queue(names.backend_queue(backend), PLACEMENTS, backend) for backend in names.BACKENDS
)
"""The queues of the Celery pools."""

OUTCOMES_QUEUE: Final = _queue(names.OUTCOMES_QUEUE, OUTCOMES, names.OUTCOME_KEY)
RECALLS_BINDING: Final = (names.OUTCOMES_QUEUE, names.OUTCOMES, names.RECALL_KEY)
"""Recalls share the outcomes' queue, so that they are read after the outcomes before them."""
LEASES_BINDING: Final = (names.OUTCOMES_QUEUE, names.OUTCOMES, names.LEASE_KEY)
"""Leases share it, too: a recorder that is behind is behind with both."""

DELAY_QUEUES: Final = tuple(
    _queue(names.delay_queue(ms), DELAYS, str(ms), dead=names.RETURNS, extra={"x-message-ttl": ms})
    for ms in names.DELAYS_MS
)
"""Held requests and retries wait here until their TTL dead-letters them back for placement."""

CELERY_QUEUES: Final = (
    _queue(names.CELERY_QUEUE, REQUESTS, "celery"),
    _queue(names.CELERY_REPLIES_QUEUE, ADAPTER_REPLIES, names.CELERY_REPLY_KEY),
)
"""The queues of the Celery adapter: tasks of Celery producers, and outcomes that become their results."""

WEBHOOKS_QUEUE: Final = _queue(names.WEBHOOKS_QUEUE, ADAPTER_REPLIES, names.WEBHOOK_REPLY_KEY)
"""Outcomes for webhooks."""

DEAD_QUEUE: Final = _queue(names.DEAD_QUEUE, DEAD, "", dead=None)

QUEUES: Final = (
    *SCHEDULER_QUEUES,
    CANCELLED_STREAM,
    DEPLOYED_STREAM,
    STATUS_STREAM,
    *POOL_QUEUES,
    OUTCOMES_QUEUE,
    *CELERY_QUEUES,
    WEBHOOKS_QUEUE,
    *DELAY_QUEUES,
    DEAD_QUEUE,
)
BINDINGS: Final = (RECALLS_BINDING, LEASES_BINDING, MARKS_BINDING, DEPLOYED_MARKS_BINDING)
"""Additional bindings: (queue, exchange, routing key)."""
