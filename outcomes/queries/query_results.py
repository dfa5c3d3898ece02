"""What the ledger answers: the values that `outcomes.queries.outcomes` returns."""

from datetime import datetime

import msgspec

from straightline.contracts import FailureRate


class Failures(msgspec.Struct, frozen=True, kw_only=True):
    """Failure rates over the window `since` <= finished < `until`, worst first.

    Attributes:
        since, until: the window.
        by_backend, by_model: the rates.
        by_version: of the models of which several versions were asked, named by model and version.
    """

    since: datetime
    until: datetime
    by_backend: list[FailureRate]
    by_model: list[FailureRate]
    by_version: list[FailureRate] = []


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


class DuplicateRequests(msgspec.Struct, frozen=True):
    """How often an id was submitted again; of these `conflicts` times with other content."""

    count: int = 0
    conflicts: int = 0


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
