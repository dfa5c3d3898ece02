"""Encodes rows in the binary format of Postgres's COPY.

Source: PostgreSQL manual, COPY, "Binary Format". A file is a header, then for each row the number of
columns and each value as its length and its bytes in the type's binary form, then a trailer.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Double, LargeBinary, SmallInteger, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

# Not pgcopy: it takes 1.4 to 2.3 times as long for these rows, and needs psycopg2 from source (ADR 0031).

Pack = Callable[[Any], bytes]

_HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + struct.pack("!ii", 0, 0)
_TRAILER: Final = struct.pack("!h", -1)
_NULL: Final = struct.pack("!i", -1)
_POSTGRES_EPOCH_US: Final = 946_684_800 * 1_000_000


def row_packer(columns: Sequence[Column[Any]]) -> Callable[[Sequence[Any]], bytes]:
    """Build a function that packs one row's values, in the order of `columns`.

    Values: canonical `str` for uuid, `str` for text, `bytes` for bytea, JSON in UTF-8 for jsonb, Unix
        seconds for
    timestamptz, numbers for numbers. Other values raise `ValueError`, `TypeError`, `OverflowError` or
    `struct.error`.
    """
    count = struct.pack("!h", len(columns))
    packers = tuple(_PACKERS[type(column.type)] for column in columns)

    def pack(values: Sequence[Any]) -> bytes:
        pieces = [
            _NULL if value is None else packer(value) for packer, value in zip(packers, values, strict=True)
        ]
        return count + b"".join(pieces)

    return pack


def copy_file(rows: Iterable[bytes]) -> bytes:
    """Join packed rows into a file for COPY."""
    return b"".join((_HEADER, *rows, _TRAILER))


def _fixed(form: str, size: int) -> Pack:
    pack = struct.Struct("!i" + form).pack
    return lambda value: pack(size, value)


def _sized(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value


def _text(value: str) -> bytes:
    # Postgres text cannot hold NUL, nor UTF-8 a lone surrogate.
    return _sized(value.replace("\x00", "\ufffd").encode("utf-8", "replace"))


def _json(value: bytes) -> bytes:
    # The first byte is the version of the jsonb format.
    return (len(value) + 1).to_bytes(4, "big") + b"\x01" + value.replace(b"\\u0000", b"\\ufffd")


def _uuid(value: str) -> bytes:
    return b"\x00\x00\x00\x10" + bytes.fromhex(value.replace("-", ""))


_pack_time = struct.Struct("!iq").pack


def _time(value: float) -> bytes:
    return _pack_time(8, round(value * 1e6) - _POSTGRES_EPOCH_US)


_PACKERS: Final[dict[type[Any], Pack]] = {
    Uuid: _uuid,
    Text: _text,
    LargeBinary: _sized,
    JSONB: _json,
    Double: _fixed("d", 8),
    BigInteger: _fixed("q", 8),
    SmallInteger: _fixed("h", 2),
    Boolean: _fixed("?", 1),
    DateTime: _time,
}
