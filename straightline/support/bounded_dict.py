"""A dictionary of limited size."""

import contextlib
from collections import OrderedDict
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedDict(OrderedDict[K, V]):
    """A dictionary that drops its oldest entry when it has more than `max_entries`.

    Setting a key again makes its entry the newest; reading does not. Threads may share one: a key that is set
    again is never missing in between, and two threads that set at the same time may drop one entry more.
    """

    def __init__(self, max_entries: int) -> None:
        super().__init__()
        self.max_entries = max_entries

    def __setitem__(self, key: K, value: V) -> None:
        super().__setitem__(key, value)
        with contextlib.suppress(KeyError):  # another thread may have removed it since
            self.move_to_end(key)
        if len(self) > self.max_entries:
            self.popitem(last=False)
