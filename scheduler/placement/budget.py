"""A retry budget: retries follow the work, they must not become it.

Pure: time is an argument. Source of the idea: Finagle's retry budgets; the share is of first attempts.

It is kept for each model, over all backends: a retry goes elsewhere than the attempt that failed, so a count
for each backend would refuse it just where it should go.
"""

from dataclasses import dataclass
from typing import Final

from scheduler.placement.rolling_counter import Tally

WINDOW: Final = 10.0
"""Seconds that are looked back."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many retries there may be in `WINDOW` seconds: `floor`, and `share` of the first attempts."""

    share: float = 0.5
    floor: int = 100


class RetryBudget:
    """What every model has spent of its allowance. O(1) for each placement."""

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self._tallies: dict[str, Tally] = {}  # first attempts and retries of each model

    def placed(self, model: str, now: float, *, retry: bool) -> None:
        """Count a placement."""
        tally = self._tallies.get(model)
        if tally is None:
            tally = self._tallies[model] = Tally(WINDOW)
        if retry:
            tally.add(now, 0, 1)
        else:
            tally.add(now, 1, 0)

    def spent(self, model: str, now: float) -> bool:
        """Whether another retry of this model must wait."""
        tally = self._tallies.get(model)
        if tally is None:
            return False
        tally.forget(now)
        return tally.second >= self._allowance.floor + self._allowance.share * tally.first
