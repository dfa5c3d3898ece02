"""Counts of two kinds over a rolling window, in whole seconds."""

from collections import deque


class RollingCounter:
    """Counts two kinds over the last `window` seconds. O(1) per call; memory for each second."""

    __slots__ = ("_buckets", "_window", "first", "second")

    def __init__(self, window: float) -> None:
        self._window = window
        self._buckets: deque[list[float]] = deque()  # [second, first, second], oldest first
        self.first = 0.0
        self.second = 0.0

    def add(self, now: float, first: int, second: int) -> None:
        """Add to the counts, and drop the seconds that left the window."""
        at = float(int(now))
        buckets = self._buckets
        if not buckets or buckets[-1][0] != at:
            self.forget(now)
        if not buckets or buckets[-1][0] < at:
            buckets.append([at, 0.0, 0.0])
        newest = buckets[-1]
        newest[1] += first
        newest[2] += second
        self.first += first
        self.second += second

    def forget(self, now: float) -> None:
        """Drop the seconds that left the window."""
        buckets = self._buckets
        if buckets and buckets[-1][0] > now + self._window:
            self.clear()  # the clock was set back: old counts would stay until it catches up
        while buckets and buckets[0][0] <= now - self._window:
            _, first, second = buckets.popleft()
            self.first -= first
            self.second -= second

    def clear(self) -> None:
        """Set the counts to zero."""
        self._buckets.clear()
        self.first = self.second = 0.0
