"""Publishing header tables that no client library would make."""

import struct
from typing import Any

import pika

Table = bytes


def _table(content: bytes) -> Table:
    return struct.pack(">I", len(content)) + content


def deep(levels: int) -> Table:
    """A table in a table in a table ..."""
    table = b""
    for _ in range(levels):
        table = _table(b"\x01aF" + table) if table else _table(b"")
    return table


def arrays(levels: int) -> tuple[bytes, bytes]:
    """An array in an array in an array ..., as type and value."""
    value = struct.pack(">I", 0)
    for _ in range(levels):
        value = struct.pack(">I", len(value) + 1) + b"A" + value
    return b"A", value


def of_kind(kind: bytes, value: bytes) -> Table:
    """One header of a type, with its value's bytes."""
    return _table(b"\x01a" + kind + value)


HARMFUL: dict[str, Table] = {
    "1,000 levels": deep(1_000),
    "14,000 levels": deep(14_000),
    "arrays in arrays": of_kind(*arrays(5_000)),
    "a time beyond the calendar": of_kind(b"T", struct.pack(">Q", 1 << 62)),
    "a time before there was any": of_kind(b"T", struct.pack(">q", -1)),
}
"""What RabbitMQ takes and the libraries cannot read."""


class RawProperties(pika.BasicProperties):
    """Properties whose table of headers is given as it goes over the wire."""

    def __init__(self, table: Table, **properties: Any) -> None:
        super().__init__(headers={"placeholder": "for the table"}, **properties)
        self._table = table

    def encode(self) -> list[bytes]:
        pieces = super().encode()
        whole = b"".join(pieces)
        standing = b"".join(pika.BasicProperties(headers=self.headers).encode())[2:]
        assert whole.count(standing) == 1
        return [whole.replace(standing, self._table)]
