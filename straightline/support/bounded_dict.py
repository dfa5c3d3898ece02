"""A dictionary of limited size."""

from collections import OrderedDict
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedDict(OrderedDict[K, V]):
    """A dictionary that drops its oldest entry when it has more than `max_entries`.

    Setting a key again makes its entry the newest; reading does not. Threads may share one: two that set at
    the same time may drop one entry more.
    """

    def __init__(self, max_entries: int) -> None:
        super().__init__()
        self.max_entries = max_entries

    def __setitem__(self, key: K, value: V) -> None:
        self.pop(key, None)
        super().__setitem__(key, value)
        if len(self) > self.max_entries:
            self.popitem(last=False)
