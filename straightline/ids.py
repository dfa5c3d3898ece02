"""Request ids: UUIDs (RFC 9562). New ones have version 7, so that they sort by creation time."""

import hashlib
import os
import re
import time
import uuid
from typing import Final

from straightline.errors import ContractError

KEY_NAMESPACE: Final = uuid.UUID("6f0e4f4c-4d5b-5d0a-9f0b-8c6f2d1c9a10")
"""Namespace of the ids (UUID version 5) of producers' idempotency keys."""
MAX_KEY_CHARS: Final = 1024
"""Of an idempotency key."""

_CANONICAL: Final = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
_BATCH_SIZE: Final = 512
"""Ids per draw of random bytes: a draw releases the interpreter lock, which costs far more than the bytes."""
_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


class _Random:
    """Thread-safe source of ten random bytes; a forked process does not repeat its parent's."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._process = 0

    def take(self) -> bytes:
        """Return ten random bytes."""
        if self._process != os.getpid():
            self._pieces, self._process = [], os.getpid()
        try:
            return self._pieces.pop()  # atomic: no two threads get the same
        except IndexError:
            drawn = os.urandom(10 * _BATCH_SIZE)
            self._pieces.extend(drawn[start : start + 10] for start in range(10, len(drawn), 10))
            return drawn[:10]


_RANDOM: Final = _Random()


def new_id() -> str:
    """Return a new UUIDv7 in its canonical form of 36 characters."""
    time_digits = f"{time.time_ns() // 1_000_000 & (1 << 48) - 1:012x}"
    random = _RANDOM.take().hex()
    return (
        f"{time_digits[:8]}-{time_digits[8:]}-7{random[:3]}-{_VARIANT[random[3]]}{random[4:7]}-{random[7:19]}"
    )


def id_of_line(job_id: str, number: int) -> str:
    """Return the request id of a line of a batch job; the same line always gets the same id.

    It has version 7 and the time of the job's id, so that it belongs to the same daily partition, and sorts
    by line.

    Args:
        job_id: UUIDv7 in its canonical form.
        number: line number, 0 to 2^32 - 1.
    """
    high, low = divmod(number, 1 << 20)
    rest = hashlib.blake2b(f"{job_id}\0{number}".encode(), digest_size=6).digest()
    tail = f"{low << 42 | int.from_bytes(rest) & (1 << 42) - 1:016x}"
    return f"{job_id[:13]}-7{high:03x}-{_VARIANT[tail[0]]}{tail[1:4]}-{tail[4:]}"


def id_of_key(key: str) -> str:
    """Return the request id of a producer's idempotency key; the same key always gets the same id.

    It is the UUIDv5 of the key's UTF-8 in `KEY_NAMESPACE`, which any language can compute.

    Raises:
        ContractError: the key is not a text of 1 to 1,024 characters.
    """
    if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY_CHARS:
        raise ContractError(
            f"the idempotency key is invalid: it must be a text of 1 to {MAX_KEY_CHARS} characters",
            error_class="wrong_type",
        )
    try:
        return str(uuid.uuid5(KEY_NAMESPACE, key))
    except UnicodeEncodeError as error:
        raise ContractError(
            "the idempotency key is invalid: it must be Unicode text", error_class="wrong_type"
        ) from error


def canonical(text: str) -> str | None:
    """Return a UUID in canonical form (36 lower-case characters), or None where `text` is not one."""
    try:
        return text if _CANONICAL(text) else str(uuid.UUID(text))
    except (ValueError, AttributeError, TypeError):
        return None
