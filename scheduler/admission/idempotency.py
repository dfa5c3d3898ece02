"""Ids seen lately: a repeated one gets its first outcome instead of another run."""

import hashlib
from array import array
from dataclasses import dataclass
from typing import Final

from scheduler.admission.recent_keys import FixedSizeKeyCache

ID_BYTES: Final = 16
"""Bytes of an id."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Record of an id: a keyed hash of its content's digest, and whether it has ended."""

    content: int
    ended: bool

    def matches(self, digest: str) -> bool:
        """Whether the content is the same."""
        return self.content == hash(digest)


class IdempotencyCache:
    """The ids of the last `size` requests. For older ones the ledger's key keeps the outcome unique.

    Each takes 25 bytes (id, hash of the digest, whether it has ended), all allocated at the start.
    """

    def __init__(self, size: int) -> None:
        self._seen = FixedSizeKeyCache(size, ID_BYTES)
        self._contents = array("q", [-1]) * self._seen.slots
        self._ended = bytearray(b"\xff") * self._seen.slots
        self._missed: tuple[str, bytes] | None = None  # last unknown id, which `remember` often adds

    def find(self, request_id: str) -> Seen | None:
        """Return the record of an id, or None."""
        key = _packed(request_id)
        slot = self._seen.find(key)
        if slot is None:
            self._missed = (request_id, key)
            return None
        return Seen(self._contents[slot], bool(self._ended[slot]))

    def ended(self, request_id: str) -> bool:
        """Whether the request is known to have its outcome."""
        slot = self._seen.find(_packed(request_id))
        return slot is not None and bool(self._ended[slot])

    def remember(self, request_id: str, digest: str) -> None:
        """Add an id."""
        missed, self._missed = self._missed, None
        if missed is not None and missed[0] is request_id:
            key = missed[1]
        else:
            key = _packed(request_id)
            if self._seen.find(key) is not None:
                return
        slot = self._seen.add(key)
        self._contents[slot] = hash(digest)
        self._ended[slot] = False

    def end(self, request_id: str) -> None:
        """Record that the request has its outcome."""
        slot = self._seen.find(_packed(request_id))
        if slot is not None:
            self._ended[slot] = True

    def forget(self, request_id: str) -> None:
        """Remove an id whose message will be delivered again."""
        slot = self._seen.find(_packed(request_id))
        if slot is not None:
            self._seen.remove(slot)


def _packed(text: str) -> bytes:
    """Return the 16 bytes of an id; for other text, a digest of it."""
    try:
        packed = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        packed = b""
    if len(packed) != ID_BYTES:
        packed = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=ID_BYTES).digest()
    return packed
