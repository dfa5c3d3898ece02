"""How much a backend answers when it has more than it can do at once. Pure: time is an argument.

What it answers while it is not full says how much it was asked, not how much it can do.
"""

from collections import deque
from typing import Final

BUSY_PERIOD_S: Final = 5.0
"""Seconds of full work that make one measurement."""
MIN_BUSY_PERIOD_S: Final = 2.0
"""Seconds after which a spell that still goes on counts, where nothing better is known."""
MIN_ANSWERS: Final = 10
"""Answers below which a spell says nothing; a cold start alone may take longer than that."""
MEASUREMENT_TTL_S: Final = 60.0
"""Seconds that a measurement holds."""


class Throughput:
    """Requests per second, the most that was measured lately: conclusions err to the hopeful side."""

    __slots__ = ("_answers", "_last", "_since", "_spells")

    def __init__(self) -> None:
        self._spells: deque[tuple[float, float]] = deque()  # (ended at, requests per second)
        self._since: float | None = None  # the first answer of the spell that goes on
        self._last = 0.0  # the last one; what comes after it may be a stall, of which this says nothing
        self._answers = 0  # after the first one

    def answered(self, count: int, now: float) -> None:
        """So many requests were answered, and the backend was full until then."""
        if self._since is None or now < self._since:
            self._since, self._last, self._answers = now, now, 0
            return
        self._answers += count
        self._last = now
        if now - self._since >= BUSY_PERIOD_S and self._answers >= MIN_ANSWERS:
            self._spells.append((now, self._measured() or 0.0))
            self._since, self._answers = now, 0

    def idle(self, now: float) -> None:
        """It had room for more: the spell is over."""
        measured = self._measured()
        if measured is not None:
            self._spells.append((now, measured))
        self._since, self._answers = None, 0

    def rate(self, now: float) -> float | None:
        """Return requests per second; None where too little is known."""
        while self._spells and self._spells[0][0] < now - MEASUREMENT_TTL_S:
            self._spells.popleft()
        measured = self._measured()
        rates = [rate for _, rate in self._spells]
        if measured is not None:
            rates.append(measured)
        return max(rates, default=None)

    def _measured(self) -> float | None:
        """Return the rate of the spell that goes on, where it says something."""
        if self._since is None or self._answers < MIN_ANSWERS or self._last - self._since < MIN_BUSY_PERIOD_S:
            return None
        return self._answers / (self._last - self._since)
