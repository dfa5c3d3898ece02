"""What the ledger answers: the values that `outcomes.questions` returns."""

from datetime import datetime

import msgspec


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """How often a backend, or a model, failed in a window.

    Attributes:
        name: the backend or model; None stands for outcomes that never reached one.
        attempts: placements tried there.
        attempts_failed: those that brought no answer.
        attempt_failure_rate: their share, 0..1; None without attempts.
        outcomes: final outcomes that count: succeeded, failed and expired. A rejected request never was work,
            and a cancelled one was given up by its owner.
        outcomes_failed: those that failed or expired.
        failure_rate: their share, 0..1; None without outcomes.
        rejected: outcomes of requests that were refused.
        errors: how often each error class ended an attempt, or an outcome that had no attempt.
    """

    name: str | None
    attempts: int = 0
    attempts_failed: int = 0
    attempt_failure_rate: float | None = None
    outcomes: int = 0
    outcomes_failed: int = 0
    failure_rate: float | None = None
    rejected: int = 0
    errors: dict[str, int] = {}


class Failures(msgspec.Struct, frozen=True, kw_only=True):
    """Failure rates over the window `since` <= finished < `until`, worst first."""

    since: datetime
    until: datetime
    by_backend: list[Rate]
    by_model: list[Rate]


class BackendSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What one backend did.

    Attributes:
        placed: placements tried there, retries included.
        failed: those that brought no answer.
        p50_ms: median milliseconds from submission to outcome of requests it answered; None without any.
        p95_ms: the same, 95th percentile.
    """

    placed: int
    failed: int
    p50_ms: float | None = None
    p95_ms: float | None = None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a set of requests.

    Attributes:
        outcomes: how many have their final outcome.
        by_state: how many ended in each state; every state is there.
        by_backend: for each backend, whether used or not.
        by_rule: placements by the rule that decided, 1..5; every rule is there.
        lost: ids that were asked about and have no outcome; None where no ids were given.
        duplicates: further outcomes, of a second execution, that came for these requests.
        repeats: times that one of the ids was submitted again.
    """

    outcomes: int
    by_state: dict[str, int]
    by_backend: dict[str, BackendSummary]
    by_rule: dict[int, int]
    lost: int | None
    duplicates: int
    repeats: int
