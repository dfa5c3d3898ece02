"""Why a message was dead-lettered, and the resolution that follows for its requests."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from outcomes.resolutions.raw_json import nonempty_text
from outcomes.resolutions.synthetic_outcomes import DEAD_LETTER, DELIVERY_LIMIT, MALFORMED, Resolution
from straightline.messages.dead_letters import QUEUE_HEADER, REASON_HEADER

MAX_DETAIL_CHARS: Final = 1024


class DeadLetterCause(msgspec.Struct, frozen=True):
    """The queue and reason of a message's death.

    Attributes:
        queue: the queue in which it died; None if unknown.
        reason: the broker's reason (`rejected`, `delivery_limit`, `maxlen`, ...), or `refused` if a component
            dead-lettered it with an explanation.
        detail: that explanation.
    """

    queue: str | None
    reason: str
    detail: str | None = None


def cause_of(headers: Mapping[str, Any] | None) -> DeadLetterCause:
    """Read the cause from a message's headers."""
    headers = headers or {}
    deaths = headers.get("x-death")  # set by the broker, latest first
    if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict):
        queue, reason = nonempty_text(deaths[0].get("queue")), nonempty_text(deaths[0].get("reason"))
        return DeadLetterCause(queue, reason or "unknown")
    detail = nonempty_text(headers.get(REASON_HEADER))
    return DeadLetterCause(nonempty_text(headers.get(QUEUE_HEADER)), "refused", detail)


def resolution_for(cause: DeadLetterCause) -> Resolution:
    """Return how the requests of a dead letter end."""
    if cause.reason == DELIVERY_LIMIT:
        return Resolution("failed", DELIVERY_LIMIT, f"could not be completed: {explanation(cause)}")
    if cause.reason == "rejected":
        return Resolution("rejected", MALFORMED, f"cannot be processed: {explanation(cause)}")
    return Resolution("failed", DEAD_LETTER, f"could not be processed: {explanation(cause)}")


def explanation(cause: DeadLetterCause) -> str:
    """Describe the cause in words."""
    if cause.detail is not None:
        return cause.detail[:MAX_DETAIL_CHARS]
    if cause.reason == DELIVERY_LIMIT:
        return f"its message in {cause.queue} was redelivered up to the broker's delivery limit"
    return f"its message in {cause.queue} was dead-lettered ({cause.reason})"
