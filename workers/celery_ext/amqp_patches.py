"""A patch of py-amqp: a message with undecodable headers is dead-lettered, and does not stop the worker."""

from typing import Any

from amqp import method_framing
from amqp.basic_message import Message

from straightline.amqp.connection.header_repair import strip_headers


class TolerantMessage(Message):
    """A received message that drops its headers if they cannot be decoded."""

    def inbound_header(self, buf: Any, offset: int = 0) -> int:
        """Decode size and properties; called by py-amqp."""
        try:
            return int(super().inbound_header(buf, offset))
        except Exception:  # py-amqp raises many types here
            payload = strip_headers(bytes(buf[offset:]))
            if payload is None:
                raise
            return int(super().inbound_header(payload))


def install() -> None:
    """Use `TolerantMessage` on all connections of this process; py-amqp has no public hook for it."""
    method_framing.Message = TolerantMessage
