"""A retry budget, so that retries stay a bounded share of the work.

Source of the idea: the retry budgets of Finagle; the share is of first attempts. The budget is per model over
all backends: a retry goes to another backend, so a budget per backend would refuse it there.
"""

from dataclasses import dataclass
from typing import Final

from scheduler.placement.rolling_counter import RollingCounter

WINDOW_S: Final = 10.0
"""Length of the rolling window."""


@dataclass(frozen=True, slots=True)
class RetryBudgetConfig:
    """Retries allowed in `WINDOW_S` seconds: `floor`, plus `share` of the first attempts."""

    share: float = 0.5
    floor: int = 100


class RetryBudget:
    """Counts the retries of each model. O(1) per placement."""

    def __init__(self, config: RetryBudgetConfig) -> None:
        self._config = config
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
        """Whether the next retry of a model must wait."""
        counter = self._counters.get(model)
        if counter is None:
            return False
        counter.forget(now)
        return counter.second >= self._config.floor + self._config.share * counter.first
