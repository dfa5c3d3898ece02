"""A circuit breaker: a backend that keeps failing gets no more work than shows whether it has recovered.

Pure: time is an argument. Source: Nygard, "Release It!" (circuit breaker); the words are resilience4j's.
Closed: all may pass, outcomes are counted over a rolling window. Open: nobody may, for a cool-down.
Half-open: one probe at a time; its success closes the breaker, its failure opens it again, for twice as long
up to a cap.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from scheduler.placement.rolling_counter import RollingCounter

MIN_COOL_DOWN_S: Final = 1.0
MAX_COOL_DOWN_S: Final = 4.0
"""Seconds from one probe to the next; with that one's time it bounds how late a recovery is seen."""
PROBE_TIMEOUT_S: Final = 3.0
"""Seconds after which a probe without an answer makes room for another one; it still counts when it comes."""
MAX_PROBES: Final = 16


@dataclass(frozen=True, slots=True)
class BreakerConfig:
    """When a breaker opens.

    Attributes:
        share: of the calls in the window, how many must have failed (0..1]. A little under a half: where
            every second call fails, chance decides on which side of it they are.
        samples: calls in the window below which it stays closed.
        window: seconds that are looked back, counted in whole seconds.
    """

    share: float = 0.45
    samples: int = 5
    window: float = 10.0


class Breaker:
    """The state of one protected resource. O(1) per outcome; memory is bounded by the window's seconds."""

    def __init__(self, rules: BreakerConfig) -> None:
        self._rules = rules
        self._counter = RollingCounter(rules.window)  # calls, and those that failed
        self._probes: dict[str, float] = {}  # request id -> when it was sent
        self._reopens_at = 0.0
        self._cool_down = MIN_COOL_DOWN_S
        self._why = ""

    @property
    def why(self) -> str:
        """Why it is not closed; empty where it is."""
        return self._why

    @property
    def closed(self) -> bool:
        """Whether all may pass."""
        return not self._why

    def refusal(self, now: float) -> str | None:
        """Return why nobody may pass now; None where it is closed, or a probe may go."""
        if self.closed:
            return None
        # Further ahead than any wait is long: the clock was set back.
        if now < self._reopens_at <= now + MAX_COOL_DOWN_S:
            return f"breaker open: {self._why}"
        if any(now - PROBE_TIMEOUT_S < sent <= now for sent in self._probes.values()):
            return f"breaker half-open, a probe is on its way: {self._why}"
        return None

    def passed(self, request_id: str, now: float) -> bool:
        """A request was let through; returns whether it is a probe, as it is where this is not closed."""
        if self.closed:
            return False
        self._probes[request_id] = now
        if len(self._probes) > MAX_PROBES:
            del self._probes[next(iter(self._probes))]
        return True

    def record(self, request_ids: Iterable[str], now: float, *, ok: bool) -> None:
        """Take the outcome of a call; for how many requests it was, it is one sample.

        While it is not closed only probes count: the others were sent before.
        """
        if self.closed:
            self._counter.add(now, 1, not ok)
            if not ok and self._crossed():
                self._cool_down = MIN_COOL_DOWN_S
                why = f"{self._counter.second:.0f} of {self._counter.first:.0f} calls failed"
                self._open(now + self._cool_down, why)
            return
        sent = [at for at in (self._probes.pop(one, None) for one in request_ids) if at is not None]
        if not sent:
            return
        if ok:
            self._close()
        else:
            # From when it was sent: a probe that hangs until it fails must not put off the next one.
            self._cool_down = min(2 * self._cool_down, MAX_COOL_DOWN_S)
            self._open(max(now, min(sent) + self._cool_down), "the last probe failed")

    def sync(self, why: str, now: float) -> None:
        """Take the word of who counts the calls meanwhile: open for a reason, or closed where it is empty.

        If it is out of date, that costs one probe.
        """
        if why and self.closed:
            self._cool_down = MIN_COOL_DOWN_S
            self._open(now + self._cool_down, why)
        elif not why and not self.closed:
            self._close()

    def _crossed(self) -> bool:
        enough = self._counter.first >= self._rules.samples
        return enough and self._counter.second >= self._rules.share * self._counter.first

    def _open(self, until: float, why: str) -> None:
        self._why = why
        self._reopens_at = until

    def _close(self) -> None:
        self._counter.clear()  # what was counted before says nothing of now
        self._probes.clear()
        self._why = ""
