"""A bounded memory of keys whose size in bytes is fixed, and taken up at the start. Pure.

Python's own containers take some hundred bytes for a key, and take them as keys come: a process grows for as
long as they fill, and a resize of the whole makes everyone wait. Here keys lie side by side in rows, as in a
set-associative cache: a key's hash names its row, and a new key takes the place of the oldest of that row.
"""

from typing import Final

WAYS: Final = 16
"""Keys in a row; a look at one is a look at all of them."""
SLOTS_PER_KEY: Final = 2
"""Places for each key that is to be kept, at least: by chance some rows fill sooner than others. One key in a
hundred may be forgotten before its time, and those are the oldest."""


class FixedSizeKeyCache:
    """The last `size` keys, near enough, each with a slot that callers may hang more on.

    Args:
        size: of how many keys.
        width: bytes of each.
    """

    def __init__(self, size: int, width: int) -> None:
        rows = 1
        while rows * WAYS < SLOTS_PER_KEY * size:
            rows *= 2
        self._mask = rows - 1
        self._width = width
        self._blank = b"\xff" * width
        # Written, not merely reserved: a page that was never written becomes memory when it is.
        self._keys = bytearray(self._blank) * (rows * WAYS)
        self._oldest = bytearray(rows)

    @property
    def slots(self) -> int:
        """How many there are."""
        return len(self._oldest) * WAYS

    def find(self, key: bytes) -> int | None:
        """Return the slot of a key, or None where it is not known; what a free slot holds never is."""
        if key == self._blank:
            return None
        width = self._width
        start = (hash(key) & self._mask) * WAYS * width
        end = start + WAYS * width
        at = self._keys.find(key, start, end)
        while at >= 0 and at % width:  # it stands across two others
            at = self._keys.find(key, at + 1, end)
        return None if at < 0 else at // width

    def add(self, key: bytes) -> int:
        """Note a key that is not known, in place of the oldest of its row; returns its slot."""
        row = hash(key) & self._mask
        way = self._oldest[row]
        self._oldest[row] = (way + 1) % WAYS
        slot = row * WAYS + way
        start = slot * self._width
        self._keys[start : start + self._width] = key
        return slot

    def remove(self, slot: int) -> None:
        """Forget the key in a slot."""
        start = slot * self._width
        self._keys[start : start + self._width] = self._blank
