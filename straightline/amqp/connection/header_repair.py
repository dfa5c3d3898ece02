"""Removal of the headers table from a message's properties.

RabbitMQ accepts tables that Python's libraries cannot decode: nested hundreds of levels deep, invalid
decimals, times beyond the calendar. The error costs the connection; the message is redelivered and costs the
next one, and everything in flight counts one more delivery each time. No header of ours is worth that.

Source: AMQP 0-9-1, 4.2.6: a content header is a class (2 bytes), a weight (2), the body's size (8), flags
(2), and the properties that the flags name, in order: content type, content encoding, headers, ...
"""

import struct
from typing import Final

_FLAGS: Final = 12
"""Offset of the flags."""
_CONTENT_TYPE: Final = 1 << 15
_CONTENT_ENCODING: Final = 1 << 14
_HEADERS: Final = 1 << 13
_MORE: Final = 1
"""More flags follow; StraightLine uses none of those properties."""


def strip_headers(payload: bytes) -> bytes | None:
    """Return the payload of a content header frame without its headers table.

    Args:
        payload: of the frame, without the frame header and end byte.

    Returns:
        None where there is no table, or the payload is damaged in another way.
    """
    try:
        (flags,) = struct.unpack_from(">H", payload, _FLAGS)
        if flags & _MORE or not flags & _HEADERS:
            return None
        start = _FLAGS + 2
        for text in (_CONTENT_TYPE, _CONTENT_ENCODING):
            if flags & text:
                start += 1 + payload[start]
        (size,) = struct.unpack_from(">I", payload, start)
    except (struct.error, IndexError):
        return None
    end = start + 4 + size
    if end > len(payload):
        return None
    kept = struct.pack(">H", flags & ~_HEADERS)
    return payload[:_FLAGS] + kept + payload[_FLAGS + 2 : start] + payload[end:]
