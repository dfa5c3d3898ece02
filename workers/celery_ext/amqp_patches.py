"""Messages for Celery whose headers cannot be read: the worker lives on, and buries them."""

from typing import Any

from amqp import method_framing
from amqp.basic_message import Message

from straightline.amqp.connection.header_repair import strip_headers


class TolerantMessage(Message):
    """A message as py-amqp receives it, without its headers where these cannot be decoded."""

    def inbound_header(self, buf: Any, offset: int = 0) -> int:
        """Read size and properties; called by py-amqp."""
        try:
            return int(super().inbound_header(buf, offset))
        except Exception:  # whatever py-amqp stumbles over
            payload = strip_headers(bytes(buf[offset:]))
            if payload is None:
                raise
            return int(super().inbound_header(payload))


def install() -> None:
    """Have all connections of this process make such messages; there is no public way."""
    method_framing.Message = TolerantMessage
