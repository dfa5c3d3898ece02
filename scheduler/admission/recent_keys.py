"""A cache of keys with a fixed size in bytes, allocated at the start.

Python's containers need some hundred bytes for a key and allocate them as keys arrive: the process grows
while they fill, and each resize stalls it. Here keys are stored in rows, as in a set-associative cache: the
hash of a key selects its row, and a new key replaces the oldest one of that row.
"""

from typing import Final

WAYS: Final = 16
"""Keys in a row; a lookup scans the whole row."""
SLOTS_PER_KEY: Final = 2
"""Slots for each key to keep, at least, since some rows fill sooner than others by chance. One key in a
hundred may be evicted early, and these are the oldest."""


class FixedSizeKeyCache:
    """The last `size` keys, approximately. Callers may keep more data under the slot of a key.

    Args:
        size: number of keys.
        width: bytes of a key.
    """

    def __init__(self, size: int, width: int) -> None:
        rows = 1
        while rows * WAYS < SLOTS_PER_KEY * size:
            rows *= 2
        self._mask = rows - 1
        self._width = width
        self._blank = b"\xff" * width
        # Written, not only reserved: the system allocates a page at its first write.
        self._keys = bytearray(self._blank) * (rows * WAYS)
        self._oldest = bytearray(rows)

    @property
    def slots(self) -> int:
        """Number of slots."""
        return len(self._oldest) * WAYS

    def find(self, key: bytes) -> int | None:
        """Return the slot of a key, or None where it is not known. The fill of a free slot is never known."""
        if key == self._blank:
            return None
        width = self._width
        start = (hash(key) & self._mask) * WAYS * width
        end = start + WAYS * width
        at = self._keys.find(key, start, end)
        while at >= 0 and at % width:  # a match across two keys
            at = self._keys.find(key, at + 1, end)
        return None if at < 0 else at // width

    def add(self, key: bytes) -> int:
        """Add an unknown key in place of the oldest of its row; return its slot."""
        row = hash(key) & self._mask
        way = self._oldest[row]
        self._oldest[row] = (way + 1) % WAYS
        slot = row * WAYS + way
        start = slot * self._width
        self._keys[start : start + self._width] = key
        return slot

    def remove(self, slot: int) -> None:
        """Remove the key in a slot."""
        start = slot * self._width
        self._keys[start : start + self._width] = self._blank
