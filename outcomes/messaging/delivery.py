"""A delivered message, and an item to dead-letter."""

from typing import Any

import msgspec

from straightline.names import TYPE_OUTCOME


class Delivery(msgspec.Struct, frozen=True):
    """A message as the broker delivered it.

    Attributes:
        epoch: number of the connection that brought it; its tag is valid only there.
        tag: delivery tag, for the acknowledgement.
        type: AMQP property.
        body: message body.
        properties: all AMQP properties, as pika gives them.
    """

    epoch: int
    tag: int
    type: str | None
    body: bytes
    properties: Any = None


class PoisonItem(msgspec.Struct, frozen=True):
    """An outcome, lease or recall that can never be recorded.

    Attributes:
        body: its JSON, as a message of its own.
        reason: why it cannot be recorded.
        type: AMQP property of that message.
    """

    body: bytes
    reason: str
    type: str = TYPE_OUTCOME
