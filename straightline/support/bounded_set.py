"""The ids that were cancelled lately. No I/O, no clock."""

from collections import OrderedDict
from typing import Final

MAX_KEPT: Final = 100_000


class BoundedSet:
    """A bounded set: over `size` the oldest are forgotten. One thread adds, any may ask."""

    def __init__(self, size: int = MAX_KEPT) -> None:
        self._size = size
        self._ids: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, request_id: str) -> None:
        """Note an id."""
        self._ids[request_id] = None
        if len(self._ids) > self._size:
            self._ids.popitem(last=False)
