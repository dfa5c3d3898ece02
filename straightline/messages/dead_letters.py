"""Dead letters that a component sends itself, with the reason in their headers."""

from typing import Any, Final

from straightline import names
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts.request import MAX_BODY_BYTES

REASON_HEADER: Final = "x-straightline-reason"
QUEUE_HEADER: Final = "x-straightline-queue"
"""Header with the queue that the message came from."""
SIZE_HEADER: Final = "x-straightline-size"
"""Header with the size of the whole body in bytes; the dead letter holds at most `MAX_BODY_BYTES` of it."""
MAX_REASON_CHARS: Final = 1024


def dead_letter(
    body: bytes, reason: str, *, queue: str, type_: str | None = None, message_id: str | None = None
) -> Outgoing:
    """Build a dead letter.

    Args:
        body: of the message that cannot be processed; cut at `MAX_BODY_BYTES`, since the broker would refuse
            more, again and again.
        reason: why, for people.
        queue: where the message came from.
        type_: its AMQP type.
        message_id: its own id; a new one would be taken for the id of a request.
    """
    headers: dict[str, Any] = {
        REASON_HEADER: reason[:MAX_REASON_CHARS].encode(errors="replace").decode(),
        QUEUE_HEADER: queue,
        SIZE_HEADER: len(body),
    }
    return Outgoing(
        exchange=names.DEAD,
        routing_key=queue,
        body=body[:MAX_BODY_BYTES],
        type=type_,
        message_id=message_id or None,
        headers=headers,
    )
