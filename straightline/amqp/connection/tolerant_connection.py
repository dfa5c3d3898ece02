"""A pika connection that survives messages with undecodable headers, and that can be abandoned."""

import struct
from typing import Any, Final

import pika
from pika import frame, spec
from pika.exceptions import AMQPConnectionError

from straightline.amqp.connection.header_repair import strip_headers
from straightline.support.event_log import EventLogger

logger = EventLogger(__name__)

_HEAD: Final = struct.Struct(">BHL")
"""Of a frame: type, channel, size of the payload."""


class TolerantConnection(pika.SelectConnection):
    """Drops the headers of a message when pika cannot decode them.

    Overrides two private methods of pika: `_read_frame`, which decodes incoming frames, and
    `_on_data_available`, which buffers them. Should pika rename the first, such a message costs the
    connection again; the second, an abandoned connection is still read.
    """

    _abandoned = False

    def give_up(self) -> None:
        """Ignore all further input and drop the connection.

        pika's `close` would close the channels first and process their answers.
        """
        self._abandoned = True
        if self.is_open or self.is_closing:  # one that is being opened ends by its time-out
            self._terminate_stream(AMQPConnectionError("given up after a fault"))

    def _on_data_available(self, data_in: bytes) -> None:
        if not self._abandoned:
            super()._on_data_available(data_in)

    def _read_frame(self) -> Any:
        try:
            return super()._read_frame()
        except Exception as error:  # pika raises many kinds here
            found = _without_headers(self._frame_buffer)
            if found is None:
                raise
            logger.warning("message_headers_dropped", error=type(error).__name__)
            return found


def _without_headers(buffer: bytes) -> tuple[int, Any] | None:
    """Decode the content header frame at the start of `buffer` without its headers.

    Returns:
        The number of bytes read and the frame; None where dropping the headers does not help.
    """
    kind, channel, size = _HEAD.unpack_from(buffer)
    payload = (
        strip_headers(bytes(buffer[_HEAD.size : _HEAD.size + size])) if kind == spec.FRAME_HEADER else None
    )
    if payload is None:
        return None
    rebuilt = _HEAD.pack(kind, channel, len(payload)) + payload + bytes((spec.FRAME_END,))
    return _HEAD.size + size + spec.FRAME_END_SIZE, frame.decode_frame(rebuilt)[1]
