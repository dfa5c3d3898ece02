"""A retry budget: retries follow the work, they must not become it.

Pure: time is an argument. Source of the idea: Finagle's retry budgets; the share is of first attempts.

It is kept for each model, over all backends: a retry goes elsewhere than the attempt that failed, so a count
for each backend would refuse it just where it should go.
"""

from dataclasses import dataclass
from typing import Final

from scheduler.placement.rolling_counter import RollingCounter

WINDOW_S: Final = 10.0
"""Seconds that are looked back."""


@dataclass(frozen=True, slots=True)
class RetryBudgetConfig:
    """How many retries there may be in `WINDOW_S` seconds: `floor`, and `share` of the first attempts."""

    share: float = 0.5
    floor: int = 100


class RetryBudget:
    """What every model has spent of its allowance. O(1) for each placement."""

    def __init__(self, allowance: RetryBudgetConfig) -> None:
        self._allowance = allowance
        self._counters: dict[str, RollingCounter] = {}  # first attempts and retries of each model

    def placed(self, model: str, now: float, *, retry: bool) -> None:
        """Count a placement."""
        counter = self._counters.get(model)
        if counter is None:
            counter = self._counters[model] = RollingCounter(WINDOW_S)
        if retry:
            counter.add(now, 0, 1)
        else:
            counter.add(now, 1, 0)

    def spent(self, model: str, now: float) -> bool:
        """Whether another retry of this model must wait."""
        counter = self._counters.get(model)
        if counter is None:
            return False
        counter.forget(now)
        return counter.second >= self._allowance.floor + self._allowance.share * counter.first
