"""A pika connection that outlives messages whose headers cannot be read, and that can be given up."""

import logging
import struct
from typing import Any, Final

import pika
from pika import frame, spec
from pika.exceptions import AMQPConnectionError

from straightline.amqp.connection.header_repair import strip_headers

logger = logging.getLogger(__name__)

_HEAD: Final = struct.Struct(">BHL")
"""Of a frame: type, channel, size of the payload."""


class TolerantConnection(pika.SelectConnection):
    """Takes headers out of a message that pika cannot decode because of them.

    `_read_frame` is where pika's connection decodes what has come; were it renamed, such a message would cost
    the connection again. `_on_data_available` takes it; were that renamed, one given up would be heard.
    """

    _deaf = False

    def give_up(self) -> None:
        """Hear nothing more, and cut the line: who waits for an answer here has another connection by then.

        Pika's `close` would first talk the channels out of their work, and what they answer would be heard.
        """
        self._deaf = True
        if self.is_open or self.is_closing:  # one that is being made runs into its time-out
            self._terminate_stream(AMQPConnectionError("given up after a fault"))

    def _on_data_available(self, data_in: bytes) -> None:
        if not self._deaf:
            super()._on_data_available(data_in)

    def _read_frame(self) -> Any:
        try:
            return super()._read_frame()
        except Exception as error:  # whatever pika stumbles over
            found = _without_headers(self._frame_buffer)
            if found is None:
                raise
            logger.warning(
                "the headers of a message cannot be read (%s) and are left out", type(error).__name__
            )
            return found


def _without_headers(buffer: bytes) -> tuple[int, Any] | None:
    """Decode the content header frame at the start of `buffer`; returns the bytes used, and the frame."""
    kind, channel, size = _HEAD.unpack_from(buffer)
    payload = (
        strip_headers(bytes(buffer[_HEAD.size : _HEAD.size + size])) if kind == spec.FRAME_HEADER else None
    )
    if payload is None:
        return None
    rebuilt = _HEAD.pack(kind, channel, len(payload)) + payload + bytes((spec.FRAME_END,))
    return _HEAD.size + size + spec.FRAME_END_SIZE, frame.decode_frame(rebuilt)[1]
