"""A pika connection that outlives messages whose headers cannot be read."""

import logging
import struct
from typing import Any, Final

import pika
from pika import frame, spec

from straightline.amqp.headerless import headerless

logger = logging.getLogger(__name__)

_HEAD: Final = struct.Struct(">BHL")
"""Of a frame: type, channel, size of the payload."""


class SturdyConnection(pika.SelectConnection):
    """Takes headers out of a message that pika cannot decode because of them.

    `_read_frame` is where pika's connection decodes what has come; were it renamed, such a message would cost
    the connection again.
    """

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
    payload = headerless(bytes(buffer[_HEAD.size : _HEAD.size + size])) if kind == spec.FRAME_HEADER else None
    if payload is None:
        return None
    rebuilt = _HEAD.pack(kind, channel, len(payload)) + payload + bytes((spec.FRAME_END,))
    return _HEAD.size + size + spec.FRAME_END_SIZE, frame.decode_frame(rebuilt)[1]
