"""A message to be published, and what AMQP 0-9-1 refuses about one."""

from typing import Any, Final

import msgspec
from pika import BasicProperties

from straightline.contracts.request import MAX_BODY_BYTES

SERIAL_HEADER: Final = "x-straightline-serial"
"""Names a message within its channel, so that the broker's `basic.return` can be matched to it."""

_MAX_SHORT_STRING_BYTES: Final = 255
_MAX_HEADERS_BYTES: Final = 100_000
"""Bytes of properties: they travel in one frame, and over a larger one (128 KiB) the broker hangs up."""


class Outgoing(msgspec.Struct, frozen=True):
    """A message to be published.

    Attributes:
        exchange, routing_key: where to.
        body: the bytes.
        type: the AMQP `type` property, one of `straightline.names.TYPE_*`.
        message_id, correlation_id, reply_to, headers, content_type: AMQP properties.
        persistent: whether it outlives a restart of the broker.
        mandatory: whether it is an error (`Unroutable`) when no queue takes it.
    """

    exchange: str
    routing_key: str
    body: bytes
    type: str | None = None
    message_id: str | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    headers: dict[str, Any] | None = None
    persistent: bool = True
    mandatory: bool = True
    content_type: str = "application/json"

    def properties(self, serial: int) -> BasicProperties:
        """Return pika's form of the properties, the serial among the headers where a return may come."""
        headers = self.headers
        if self.mandatory:
            headers = {**headers, SERIAL_HEADER: serial} if headers else {SERIAL_HEADER: serial}
        return BasicProperties(
            content_type=self.content_type,
            headers=headers,
            delivery_mode=2 if self.persistent else 1,
            correlation_id=self.correlation_id,
            reply_to=self.reply_to,
            message_id=self.message_id,
            type=self.type,
        )


def invalid_reason(message: Outgoing, max_body: int = MAX_BODY_BYTES) -> str | None:
    """Say why the message must not be written to a channel, or None where nothing is wrong.

    The broker answers such a message by closing the channel or the connection, which would take the messages
    of everybody else with it.
    """
    if len(message.body) > max_body:
        return (
            f"the message is {len(message.body)} bytes, the limit is {max_body}: send large data by reference"
        )
    for name in (
        "exchange",
        "routing_key",
        "type",
        "message_id",
        "correlation_id",
        "reply_to",
        "content_type",
    ):
        value = getattr(message, name)
        if (
            value is not None
            and len(value) > 63
            and len(value.encode(errors="replace")) > _MAX_SHORT_STRING_BYTES
        ):
            return (
                f"{name} is longer than {_MAX_SHORT_STRING_BYTES} bytes, which AMQP does not take: shorten it"
            )
    if message.headers:
        try:
            size = sum(len(piece) for piece in message.properties(0).encode())
        except Exception as error:  # noqa: BLE001 - pika raises whatever the value makes it stumble over
            return f"the headers cannot be encoded for AMQP: {error!r}"
        if size > _MAX_HEADERS_BYTES:
            return (
                f"the headers are {size} bytes, the limit is {_MAX_HEADERS_BYTES}: "
                "put large values into the body"
            )
    return None
