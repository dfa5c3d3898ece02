"""A message's properties without its table of headers, for headers that no client library can read; no I/O.

RabbitMQ takes tables that Python's libraries stumble over: nested some hundred levels deep, numbers that are
none, times beyond the calendar. The error costs the connection, the message comes again and costs the next
one, and what else was under way counts one more delivery each time. No header of ours is worth that.

Source: AMQP 0-9-1, 4.2.6: a content header is a class (2 bytes), a weight (2), the body's size (8), flags
(2), and the properties that the flags name, in their order: content type, content encoding, headers, ...
"""

import struct
from typing import Final

_FLAGS: Final = 12
"""Where the flags stand."""
_CONTENT_TYPE: Final = 1 << 15
_CONTENT_ENCODING: Final = 1 << 14
_HEADERS: Final = 1 << 13
_MORE: Final = 1
"""More flags follow; no property of ours is among them."""


def strip_headers(payload: bytes) -> bytes | None:
    """Return the payload of a content header frame without its table of headers.

    Args:
        payload: of the frame, without the frame's own head and end.

    Returns:
        None where there is no table to take out, or the payload is damaged in another way.
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
