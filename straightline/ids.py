"""Request ids: UUID version 7 (RFC 9562), so that ids sort by when they were made."""

import os
import time
import uuid


def new_id() -> str:
    """Return a new UUIDv7 in its canonical form of 36 characters."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = (milliseconds & (1 << 48) - 1) << 80 | random & (1 << 80) - 1
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def canonical(text: str) -> str | None:
    """Return the id in its canonical form, or None where `text` is not a UUID."""
    try:
        return str(uuid.UUID(text))
    except (ValueError, AttributeError, TypeError):
        return None
