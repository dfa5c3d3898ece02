"""`f_t`: request frequency of a model, over a sliding window in event time."""

from collections import OrderedDict
from typing import Final

BUCKETS: Final = 50
"""Parts of the window; the rate is exact to one part."""
MAX_BUCKETS: Final = 4 * BUCKETS
"""Bound on the kept buckets; it allows a backlog and live requests to be mixed."""


class Frequency:
    """Requests per second of one model.

    A request counts at the time when its producer made it: a backlog of an hour, read in a second, has the
    rate at which it was submitted. Requests may come out of order. Memory is bounded by `MAX_BUCKETS`
    counters; a request costs O(1) when it is the newest, and O(`BUCKETS`) when it is late.
    """

    __slots__ = ("_counts", "_head", "_total", "_width", "window")

    def __init__(self, window: float) -> None:
        self.window = window
        self._width = window / BUCKETS
        self._counts: OrderedDict[int, int] = OrderedDict()  # least recently used first
        self._head = -(1 << 62)
        self._total = 0  # requests in the window that ends with the head's bucket

    def observe(self, at: float) -> float:
        """Count a request made at `at` (seconds) and return the rate at that time, the request included."""
        bucket = int(at // self._width)
        if bucket > self._head:
            self._advance(bucket)
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self._counts.move_to_end(bucket)
        if bucket > self._head - BUCKETS:
            self._total += 1
        if len(self._counts) > MAX_BUCKETS:
            self._forget()
        return (self._total if bucket == self._head else self._sum(bucket)) / self.window

    def rate(self, at: float) -> float:
        """Return the rate at `at` without counting a request."""
        return self._sum(int(at // self._width)) / self.window

    def _advance(self, bucket: int) -> None:
        if bucket - self._head > BUCKETS:
            self._total = 0
        else:
            for old in range(self._head - BUCKETS + 1, bucket - BUCKETS + 1):
                self._total -= self._counts.get(old, 0)
        self._head = bucket

    def _forget(self) -> None:
        """Drop the least recently used bucket outside the newest window."""
        while True:
            bucket, count = self._counts.popitem(last=False)
            if bucket <= self._head - BUCKETS:
                return
            self._counts[bucket] = count

    def _sum(self, bucket: int) -> int:
        get = self._counts.get
        return sum(get(part, 0) for part in range(bucket - BUCKETS + 1, bucket + 1))


class Frequencies:
    """`f_t` of every model. Their number is bounded, since unknown models are rejected before."""

    __slots__ = ("_models", "window")

    def __init__(self, window: float) -> None:
        self.window = window
        self._models: dict[str, Frequency] = {}

    def observe(self, model: str, at: float) -> float:
        """Count a request of `model` made at `at` and return its rate then, in requests per second."""
        frequency = self._models.get(model)
        if frequency is None:
            frequency = self._models[model] = Frequency(self.window)
        return frequency.observe(at)

    def rate(self, model: str, at: float) -> float:
        """Return the rate of `model` at `at`, in requests per second, without counting."""
        frequency = self._models.get(model)
        return 0.0 if frequency is None else frequency.rate(at)
