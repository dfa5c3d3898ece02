"""Throughput of a backend while it is full.

A backend that is not full only shows how much work it gets, not how much it can do.
"""

from collections import deque
from typing import Final

BUSY_PERIOD_S: Final = 5.0
"""Seconds of full load that make one measurement."""
MIN_BUSY_PERIOD_S: Final = 2.0
"""Seconds after which an unfinished busy period counts, where nothing better is known."""
MIN_ANSWERS: Final = 10
"""Answers below which a busy period is no evidence; a cold start alone may take longer."""
MEASUREMENT_TTL_S: Final = 60.0
"""Lifetime of a measurement."""


class Throughput:
    """The highest recent throughput, requests per second; it errs on the optimistic side."""

    __slots__ = ("_answers", "_last", "_periods", "_since")

    def __init__(self) -> None:
        self._periods: deque[tuple[float, float]] = deque()  # (ended at, requests per second)
        self._since: float | None = None  # first answer of the current busy period
        self._last = 0.0  # last answer; a stall after it is not measured
        self._answers = 0  # answers after the first one

    def answered(self, count: int, now: float) -> None:
        """Count answers of a backend that was full until then."""
        if self._since is None or now < self._since:
            self._since, self._last, self._answers = now, now, 0
            return
        self._answers += count
        self._last = now
        if now - self._since >= BUSY_PERIOD_S and self._answers >= MIN_ANSWERS:
            self._periods.append((now, self._measured() or 0.0))
            self._since, self._answers = now, 0

    def idle(self, now: float) -> None:
        """End the busy period: the backend had free slots."""
        measured = self._measured()
        if measured is not None:
            self._periods.append((now, measured))
        self._since, self._answers = None, 0

    def rate(self, now: float) -> float | None:
        """Return requests per second; None without a measurement."""
        while self._periods and self._periods[0][0] < now - MEASUREMENT_TTL_S:
            self._periods.popleft()
        measured = self._measured()
        rates = [rate for _, rate in self._periods]
        if measured is not None:
            rates.append(measured)
        return max(rates, default=None)

    def _measured(self) -> float | None:
        """Return the rate of the current busy period, where it is long enough."""
        if self._since is None or self._answers < MIN_ANSWERS or self._last - self._since < MIN_BUSY_PERIOD_S:
            return None
        return self._answers / (self._last - self._since)
