"""A message to publish, and its limits in AMQP 0-9-1."""

from typing import Any, Final

import msgspec
from pika import BasicProperties

from straightline.contracts.request import MAX_BODY_BYTES

SERIAL_HEADER: Final = "x-straightline-serial"
"""Number of a message within its channel, which matches the broker's `basic.return` to it."""

_MAX_SHORT_STRING_BYTES: Final = 255
_MAX_HEADERS_BYTES: Final = 100_000
"""Properties are sent in one frame; the broker closes the connection on one above 128 KiB."""


class Outgoing(msgspec.Struct, frozen=True):
    """A message to publish.

    Attributes:
        exchange, routing_key: its destination.
        body: content in bytes.
        type: the AMQP `type` property, one of `straightline.names.TYPE_*`.
        message_id, correlation_id, reply_to, headers, content_type: AMQP properties.
        persistent: whether it survives a restart of the broker.
        mandatory: whether publishing fails (`Unroutable`) when no queue takes it.
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
        """Return the properties for pika; a mandatory message carries its serial in the headers."""
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
    """Return why the message must not be published, or None.

    The broker would close the channel or the connection, with the messages of all other callers.
    """
    if len(message.body) > max_body:
        return (
            f"the message has {len(message.body)} bytes, the limit is {max_body}: send large data by "
            "reference"
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
        except Exception as error:  # noqa: BLE001 - pika raises many kinds here
            return f"the headers cannot be encoded for AMQP: {error!r}"
        if size > _MAX_HEADERS_BYTES:
            return (
                f"the headers have {size} bytes, the limit is {_MAX_HEADERS_BYTES}: "
                "put large values into the body"
            )
    return None
