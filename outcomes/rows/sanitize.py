"""Values as Postgres can hold them; pure. What does not fit is bent or dropped, so that a row is written."""

import json
import math
from typing import Any, Final

import msgspec

MAX_TIME_S: Final = 253_402_300_799.0
"""The last second of the year 9999: what Postgres and Python's datetime both know."""
MAX_KEY_CHARS: Final = 256
"""Characters of a text that is indexed; Postgres refuses an index entry of more than some 2,700 bytes."""


def key(value: str | None) -> str | None:
    """Shorten a text that is indexed."""
    return None if value is None else value[:MAX_KEY_CHARS]


def text(value: str | None) -> str | None:
    """Replace what Postgres has in no text: NUL, and lone surrogates."""
    if value is None:
        return None
    return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def number(value: float | None) -> float | None:
    """Drop what is no number, for it would spoil every average and percentile."""
    return value if value is not None and math.isfinite(value) else None


def time(value: float | None) -> float | None:
    """Drop a time, in seconds since the epoch, that no calendar has."""
    return value if value is not None and 0 <= value <= MAX_TIME_S else None


def integer(value: int | None, bits: int) -> int | None:
    """Bring an integer within those of so many bits, sign included."""
    if value is None:
        return None
    limit = 1 << (bits - 1)
    return max(-limit, min(limit - 1, value))


def json_column(value: Any) -> bytes | None:
    """Encode a structure for a JSON column."""
    if value is None:
        return None
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:  # a lone surrogate somewhere in it
        return json.dumps(msgspec.to_builtins(value), ensure_ascii=False).encode("utf-8", "replace")
