"""Clamps, replaces or drops values that Postgres cannot store, so that every row can be written."""

import json
import math
from typing import Any, Final

import msgspec

MAX_TIME_S: Final = 253_402_300_799.0
"""Unix seconds of the last second of the year 9999, the latest time that Postgres and datetime share."""
MAX_KEY_CHARS: Final = 256
"""Length of an indexed text; Postgres rejects index entries above about 2,700 bytes."""


def key(value: str | None) -> str | None:
    """Truncate a text that is indexed."""
    return None if value is None else value[:MAX_KEY_CHARS]


def text(value: str | None) -> str | None:
    """Replace NUL and lone surrogates, which Postgres text cannot hold."""
    if value is None:
        return None
    return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def number(value: float | None) -> float | None:
    """Drop NaN and infinity, which would spoil averages and percentiles."""
    return value if value is not None and math.isfinite(value) else None


def time(value: float | None) -> float | None:
    """Drop a time (Unix seconds) before 1970 or after the year 9999."""
    return value if value is not None and 0 <= value <= MAX_TIME_S else None


def integer(value: int | None, bits: int) -> int | None:
    """Clamp an integer to a signed range of `bits`."""
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
    except UnicodeEncodeError:  # a lone surrogate
        return json.dumps(msgspec.to_builtins(value), ensure_ascii=False).encode("utf-8", "replace")
