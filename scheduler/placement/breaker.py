"""A circuit breaker: a failing backend gets only probes, which show whether it has recovered.

Source: Nygard, "Release It!"; the terms are those of resilience4j. Closed: all requests pass, and calls are
counted over a rolling window. Open: no request passes during a cool-down. Half-open: one probe passes at a
time; its success closes the breaker, its failure opens it again for twice as long, up to a maximum.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from scheduler.placement.rolling_counter import RollingCounter

MIN_COOL_DOWN_S: Final = 1.0
MAX_COOL_DOWN_S: Final = 4.0
"""Longest time between probes; with the time of one probe it bounds the delay until a recovery is seen."""
PROBE_TIMEOUT_S: Final = 3.0
"""Seconds after which a probe without an answer allows another one; a late answer still counts."""
MAX_PROBES: Final = 16


@dataclass(frozen=True, slots=True)
class BreakerConfig:
    """Conditions under which a breaker opens.

    Attributes:
        share: share of failed calls in the window, in (0, 1]. The default is a little under a half, so that a
            backend on which every second call fails is on one side of it.
        samples: calls in the window below which the breaker stays closed.
        window: length of the window in seconds, counted in whole seconds.
    """

    share: float = 0.45
    samples: int = 5
    window: float = 10.0


class Breaker:
    """The state of one protected resource. O(1) per call; memory is bounded by the seconds of the window."""

    def __init__(self, config: BreakerConfig) -> None:
        self._config = config
        self._counter = RollingCounter(config.window)  # calls, and those that failed
        self._probes: dict[str, float] = {}  # request id -> when it was sent
        self._reopens_at = 0.0
        self._cool_down = MIN_COOL_DOWN_S
        self._why = ""

    @property
    def why(self) -> str:
        """Why the breaker is not closed; empty where it is closed."""
        return self._why

    @property
    def closed(self) -> bool:
        """Whether all requests pass."""
        return not self._why

    def refusal(self, now: float) -> str | None:
        """Return why no request passes now; None where the breaker is closed, or a probe may pass."""
        if self.closed:
            return None
        # A time beyond the longest cool-down means that the clock was set back.
        if now < self._reopens_at <= now + MAX_COOL_DOWN_S:
            return f"breaker open: {self._why}"
        if any(now - PROBE_TIMEOUT_S < sent <= now for sent in self._probes.values()):
            return f"breaker half-open, a probe is in flight: {self._why}"
        return None

    def passed(self, request_id: str, now: float) -> bool:
        """Note that a request passed; return whether it is a probe."""
        if self.closed:
            return False
        self._probes[request_id] = now
        if len(self._probes) > MAX_PROBES:
            del self._probes[next(iter(self._probes))]
        return True

    def record(self, request_ids: Iterable[str], now: float, *, ok: bool) -> None:
        """Record the result of a call, which is one sample whatever its number of requests.

        While the breaker is not closed only probes count: the others were sent before.
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
            # Counted from its sending: a probe that hangs must not delay the next one.
            self._cool_down = min(2 * self._cool_down, MAX_COOL_DOWN_S)
            self._open(max(now, min(sent) + self._cool_down), "the last probe failed")

    def sync(self, why: str, now: float) -> None:
        """Copy the state of the leader's breaker: open for the reason `why`, or closed where it is empty.

        An outdated copy costs one probe.
        """
        if why and self.closed:
            self._cool_down = MIN_COOL_DOWN_S
            self._open(now + self._cool_down, why)
        elif not why and not self.closed:
            self._close()

    def _crossed(self) -> bool:
        enough = self._counter.first >= self._config.samples
        return enough and self._counter.second >= self._config.share * self._counter.first

    def _open(self, until: float, why: str) -> None:
        self._why = why
        self._reopens_at = until

    def _close(self) -> None:
        self._counter.clear()  # earlier calls say nothing about the recovered backend
        self._probes.clear()
        self._why = ""
