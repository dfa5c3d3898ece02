"""Rate and remaining time of a job."""

from collections import deque
from typing import Final

RATE_WINDOW_S: Final = 30.0
"""Over which the rate is measured."""
BAR_WIDTH: Final = 24
"""In characters."""


class RateMeter:
    """Rates over the last `RATE_WINDOW_S`.

    Args:
        total: size of the input, bytes.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._seen: deque[tuple[float, int, int]] = deque()

    def add(self, now: float, lines: int, size: int) -> None:
        """Add a sample: lines and bytes finished at `now` (monotonic seconds)."""
        self._seen.append((now, lines, size))
        while self._seen[0][0] < now - RATE_WINDOW_S and len(self._seen) > 2:
            self._seen.popleft()

    @property
    def rate(self) -> float:
        """Lines per second."""
        return self._per_second(1)

    @property
    def share(self) -> float:
        """Finished share of the input, 0..1."""
        done = self._seen[-1][2] if self._seen else 0
        return min(1.0, done / self._total) if self._total else 1.0

    @property
    def left(self) -> float | None:
        """Seconds to the end at the current rate; None if unknown."""
        speed = self._per_second(2)
        return (1 - self.share) * self._total / speed if speed > 0 else None

    def _per_second(self, column: int) -> float:
        if len(self._seen) < 2:
            return 0.0
        first, last = self._seen[0], self._seen[-1]
        return (last[column] - first[column]) / max(last[0] - first[0], 1e-9)


def progress_bar(share: float) -> str:
    """Return a progress bar for a share of 0..1."""
    full = int(share * BAR_WIDTH)
    return f"[{'#' * full}{'.' * (BAR_WIDTH - full)}]"


def progress_line(meter: RateMeter, *, lines: int, failed: int, trouble: str | None) -> str:
    """Return one line with share, lines, rate, failures, and remaining time or trouble."""
    text = f"{meter.share:4.0%}  {lines:,} lines  {meter.rate:,.0f}/s  failed {failed:,}"
    if trouble:
        return f"{text}  waiting: {trouble}"
    return text + (
        "" if meter.left is None or meter.share == 1.0 else f"  {format_duration(meter.left)} left"
    )


def format_duration(seconds: float) -> str:
    """Format seconds in their two largest units."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
