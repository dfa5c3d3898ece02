"""Failure rates from grouped counts; pure."""

from collections.abc import Iterable
from typing import Final

from straightline.contracts import FailureRate
from straightline.contracts.faults import GIVEN_BACK

FAILED: Final = ("failed", "expired")
COUNTED: Final = ("succeeded", *FAILED)

Tried = tuple[str | None, str | None, bool, int, int, float]
"""Name, error class, whether it succeeded, how many attempts; of them with a cold start, its seconds."""
Ended = tuple[str | None, str | None, str, bool, int]
"""Name, error class, state, whether there was an attempt, how many outcomes."""


def rates(tried: Iterable[Tried], ended: Iterable[Ended]) -> list[FailureRate]:
    """Join counts of attempts and of outcomes by name, worst failure rate first."""
    tallies: dict[str | None, _Tally] = {}
    for name, error_class, succeeded, count, cold, seconds in tried:
        tally = tallies.setdefault(name, _Tally())
        tally.attempt(error_class, count, succeeded=succeeded)
        tally.cold(cold, seconds)
    for name, error_class, state, attempted, count in ended:
        tallies.setdefault(name, _Tally()).outcome(error_class, state, count, attempted=attempted)
    found = [tally.rate(name) for name, tally in tallies.items()]
    return sorted(found, key=badness)


def badness(rate: FailureRate) -> tuple[float, float, str]:
    """Return what orders rates, the worst first."""
    return (-(rate.failure_rate or 0), -(rate.attempt_failure_rate or 0), rate.name or "")


class _Tally:
    def __init__(self) -> None:
        self._attempts = self._attempts_failed = 0
        self._outcomes = self._outcomes_failed = self._rejected = 0
        self._cold_starts, self._cold_seconds = 0, 0.0
        self._errors: dict[str, int] = {}

    def attempt(self, error_class: str | None, count: int, *, succeeded: bool) -> None:
        if error_class in GIVEN_BACK:
            return
        self._attempts += count
        if not succeeded:
            self._attempts_failed += count
            self._error(error_class, count)

    def cold(self, count: int, seconds: float) -> None:
        self._cold_starts += count
        self._cold_seconds += seconds

    def outcome(self, error_class: str | None, state: str, count: int, *, attempted: bool) -> None:
        if state in COUNTED:
            self._outcomes += count
        if state in FAILED:
            self._outcomes_failed += count
        if state == "rejected":
            self._rejected += count
        if state != "succeeded" and not attempted:
            self._error(error_class, count)

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

    def _error(self, error_class: str | None, count: int) -> None:
        name = error_class or "unknown"
        self._errors[name] = self._errors.get(name, 0) + count


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
