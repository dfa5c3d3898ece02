"""Computes failure rates from grouped counts."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from straightline.contracts import FailureRate
from straightline.contracts.faults import GIVEN_BACK

FAILED_STATES: Final = ("failed", "expired")
COUNTED_STATES: Final = ("succeeded", *FAILED_STATES)


class AttemptCount(NamedTuple):
    """A number of alike attempts.

    Attributes:
        name: backend, model or version.
        error_class: None if they succeeded.
        succeeded: whether they succeeded.
        total: how many.
        cold_starts: how many of them had a cold start.
        cold_seconds: sum of the cold starts, seconds.
    """

    name: str | None
    error_class: str | None
    succeeded: bool
    total: int
    cold_starts: int
    cold_seconds: float


class OutcomeCount(NamedTuple):
    """A number of alike outcomes.

    Attributes:
        name: backend, model or version.
        error_class: None if they succeeded.
        state: final state.
        attempted: whether a placement was tried.
        total: how many.
    """

    name: str | None
    error_class: str | None
    state: str
    attempted: bool
    total: int


def rates(attempts: Iterable[AttemptCount], outcomes: Iterable[OutcomeCount]) -> list[FailureRate]:
    """Join counts of attempts and outcomes by name, worst failure rate first."""
    tallies: dict[str | None, _Tally] = {}
    for attempt in attempts:
        tallies.setdefault(attempt.name, _Tally()).add_attempts(attempt)
    for outcome in outcomes:
        tallies.setdefault(outcome.name, _Tally()).add_outcomes(outcome)
    found = [tally.rate(name) for name, tally in tallies.items()]
    return sorted(found, key=worst_first)


def worst_first(rate: FailureRate) -> tuple[float, float, str]:
    """Return the sort key that orders rates, worst first."""
    return (-(rate.failure_rate or 0), -(rate.attempt_failure_rate or 0), rate.name or "")


class _Tally:
    def __init__(self) -> None:
        self._attempts = self._attempts_failed = 0
        self._outcomes = self._outcomes_failed = self._rejected = 0
        self._cold_starts, self._cold_seconds = 0, 0.0
        self._errors: dict[str, int] = {}

    def add_attempts(self, group: AttemptCount) -> None:
        self._cold_starts += group.cold_starts
        self._cold_seconds += group.cold_seconds
        if group.error_class in GIVEN_BACK:
            return
        self._attempts += group.total
        if not group.succeeded:
            self._attempts_failed += group.total
            self._add_error(group.error_class, group.total)

    def add_outcomes(self, group: OutcomeCount) -> None:
        if group.state in COUNTED_STATES:
            self._outcomes += group.total
        if group.state in FAILED_STATES:
            self._outcomes_failed += group.total
        if group.state == "rejected":
            self._rejected += group.total
        if group.state != "succeeded" and not group.attempted:
            self._add_error(group.error_class, group.total)

    def rate(self, name: str | None) -> FailureRate:
        return FailureRate(
            name=name,
            attempts=self._attempts,
            attempts_failed=self._attempts_failed,
            attempt_failure_rate=_share(self._attempts_failed, self._attempts),
            outcomes=self._outcomes,
            outcomes_failed=self._outcomes_failed,
            failure_rate=_share(self._outcomes_failed, self._outcomes),
            rejected=self._rejected,
            cold_starts=self._cold_starts,
            cold_start=self._cold_seconds / self._cold_starts if self._cold_starts else None,
            errors=dict(sorted(self._errors.items(), key=lambda pair: (-pair[1], pair[0]))),
        )

    def _add_error(self, error_class: str | None, count: int) -> None:
        name = error_class or "unknown"
        self._errors[name] = self._errors.get(name, 0) + count


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
