"""A set of limited size, for ids."""

from typing import Final

from straightline.support.bounded_dict import BoundedDict

MAX_KEPT: Final = 100_000


class BoundedSet:
    """A set of ids that drops the oldest when it has more than `size`. Threads may share one."""

    def __init__(self, size: int = MAX_KEPT) -> None:
        self._ids: BoundedDict[str, None] = BoundedDict(size)

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, request_id: str) -> None:
        """Add an id, as the newest."""
        self._ids[request_id] = None
