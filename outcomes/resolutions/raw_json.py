"""Reads parts of JSON that may be invalid elsewhere: dead letters need not be well-formed."""

from typing import Any

import msgspec

from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError


def member(body: bytes, name: str) -> bytes:
    """Return the raw value of an object's member; empty if there is none."""
    try:
        return bytes(decode(body, dict[str, msgspec.Raw]).get(name, b""))
    except ContractError:
        return b""


def items(body: bytes) -> list[bytes]:
    """Return the raw items of an array; none if it is not an array."""
    try:
        return [bytes(item) for item in decode(body, list[msgspec.Raw])]
    except ContractError:
        return []


def string(body: bytes) -> str | None:
    """Return a JSON string; None for anything else."""
    try:
        return decode(body, str)
    except ContractError:
        return None


def nonempty_text(value: Any) -> str | None:
    """Return an AMQP property or header that is a nonempty text; None for anything else."""
    return value if isinstance(value, str) and value else None
