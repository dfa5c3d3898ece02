"""Decides what to do about dead letters of the outcomes queue, the recorder's own input."""

from collections.abc import Iterator, Sequence
from typing import Final

from outcomes.messaging.delivery import Delivery
from outcomes.resolutions.dead_letter_cause import DeadLetterCause, explanation
from outcomes.resolutions.raw_json import items, member, string
from outcomes.resolutions.synthetic_outcomes import UNRECORDABLE, Resolution, of_id
from straightline import names
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts import Outcome
from straightline.ids import canonical, new_id

RESEND_COUNT_HEADER: Final = "x-straightline-again"
"""Header that counts resends; it ends the loop of a message that crashes every recorder."""
MAX_RESENDS: Final = 2

_ROUTING_KEYS: Final = {
    names.TYPE_OUTCOMES: names.OUTCOME_KEY,
    names.TYPE_RECALL: names.RECALL_KEY,
    names.TYPE_LEASES: names.LEASE_KEY,
}


def messages_to_resend(delivery: Delivery, cause: DeadLetterCause) -> list[Outgoing]:
    """Return the message again, one per outcome in it; none if it is to blame or was resent too often."""
    times = (delivery.properties.headers or {}).get(RESEND_COUNT_HEADER)
    times = times if isinstance(times, int) else 0
    key = _ROUTING_KEYS.get(delivery.type or "")
    if cause.reason in {"rejected", "refused"} or times >= MAX_RESENDS or key is None:
        return []
    bodies = [delivery.body]
    if key == names.OUTCOME_KEY:
        bodies = [b'{"outcomes":[' + part + b"]}" for part in _outcomes_in(delivery)]
    return [_resend(delivery, key, body, times + 1) for body in bodies]


def unrecordable_outcomes(delivery: Delivery, cause: DeadLetterCause, now: float) -> Iterator[Outcome]:
    """Return an outcome of class `unrecordable`, with the id alone, for each outcome in the message."""
    resolution = Resolution("failed", UNRECORDABLE, f"its outcome cannot be recorded: {explanation(cause)}")
    for body in _outcomes_in(delivery):
        request_id = canonical(string(member(body, "request_id")) or "")
        # An outcome that is unrecordable already cannot be reduced further.
        if request_id is not None and string(member(body, "error_class")) != UNRECORDABLE:
            yield of_id(request_id, resolution, now)


def _outcomes_in(delivery: Delivery) -> Sequence[bytes]:
    if delivery.type == names.TYPE_OUTCOME:  # dead-lettered by the recorder
        return [delivery.body]
    return items(member(delivery.body, "outcomes")) if delivery.type == names.TYPE_OUTCOMES else []


def _resend(delivery: Delivery, key: str, body: bytes, times: int) -> Outgoing:
    return Outgoing(
        exchange=names.OUTCOMES,
        routing_key=key,
        body=body,
        type=delivery.type,
        message_id=new_id(),
        headers={RESEND_COUNT_HEADER: times},
    )
