"""A circuit breaker: a backend that keeps failing gets no more work than shows whether it has recovered.

Pure: time is an argument. Source: Nygard, "Release It!" (circuit breaker); the words are resilience4j's.
Closed: all may pass, outcomes are counted over a rolling window. Open: nobody may, for a cool-down.
Half-open: one probe at a time; its success closes the breaker, its failure opens it again, for twice as long
up to a cap.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

FIRST_COOL_DOWN: Final = 1.0
LONGEST_COOL_DOWN: Final = 4.0
"""Seconds; with the next probe's time it bounds how late a recovery is seen."""
PROBE_PATIENCE: Final = 3.0
"""Seconds after which a probe without an answer makes room for another one; it still counts when it comes."""
PROBES_KEPT: Final = 16


@dataclass(frozen=True, slots=True)
class Rules:
    """When a breaker opens.

    Attributes:
        share: of the attempts in the window, how many must have failed (0..1].
        samples: attempts in the window below which it stays closed.
        window: seconds that are looked back, counted in whole seconds.
    """

    share: float = 0.5
    samples: int = 5
    window: float = 10.0


class Breaker:
    """The state of one protected resource. O(1) per outcome; memory is bounded by the window's seconds."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._buckets: deque[list[float]] = deque()  # [second, attempts, failures], oldest first
        self._probes: dict[str, float] = {}  # request id -> until when it is waited for
        self._attempts = self._failures = self._reopens_at = 0.0
        self._cool_down = FIRST_COOL_DOWN
        self._why = ""

    @property
    def closed(self) -> bool:
        """Whether all may pass."""
        return not self._why

    def refusal(self, now: float) -> str | None:
        """Return why nobody may pass now; None where it is closed, or a probe may go."""
        if self.closed:
            return None
        if now < self._reopens_at:
            return f"breaker open: {self._why}"
        if any(until > now for until in self._probes.values()):
            return f"breaker half-open, a probe is on its way: {self._why}"
        return None

    def passed(self, request_id: str, now: float) -> None:
        """A request was let through; where the breaker is not closed it is the probe."""
        if self.closed:
            return
        self._probes[request_id] = now + PROBE_PATIENCE
        if len(self._probes) > PROBES_KEPT:
            del self._probes[next(iter(self._probes))]

    def record(self, request_id: str, now: float, *, ok: bool) -> None:
        """Take an outcome. While it is not closed only probes count: the others were sent before."""
        if self.closed:
            self._count(now, ok=ok)
            if not ok and self._crossed():
                self._open(now, f"{self._failures:.0f} of {self._attempts:.0f} attempts failed")
        elif self._probes.pop(request_id, None) is None:
            return
        elif ok:
            self._close()
        else:
            self._cool_down = min(2 * self._cool_down, LONGEST_COOL_DOWN)
            self._open(now, "the last probe failed")

    def _count(self, now: float, *, ok: bool) -> None:
        second = float(int(now))
        if not self._buckets or self._buckets[-1][0] < second:
            self._buckets.append([second, 0.0, 0.0])
        while self._buckets[0][0] <= now - self._rules.window:
            _, attempts, failures = self._buckets.popleft()
            self._attempts -= attempts
            self._failures -= failures
        self._buckets[-1][1] += 1
        self._buckets[-1][2] += not ok
        self._attempts += 1
        self._failures += not ok

    def _crossed(self) -> bool:
        enough = self._attempts >= self._rules.samples
        return enough and self._failures >= self._rules.share * self._attempts

    def _open(self, now: float, why: str) -> None:
        self._why = why
        self._reopens_at = now + self._cool_down

    def _close(self) -> None:
        self._buckets.clear()  # what was counted before says nothing of now
        self._probes.clear()
        self._attempts = self._failures = self._reopens_at = 0.0
        self._cool_down = FIRST_COOL_DOWN
        self._why = ""
