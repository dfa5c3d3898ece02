"""Results that queries of the ledger return."""

from datetime import datetime

import msgspec

from straightline.contracts import FailureRate


class Failures(msgspec.Struct, frozen=True, kw_only=True):
    """Failure rates of what finished within `since` <= time < `until`, worst first.

    Attributes:
        since, until: the window.
        by_backend, by_model: the rates.
        by_version: rates of the models with outcomes of several versions, named by model and version.
    """

    since: datetime
    until: datetime
    by_backend: list[FailureRate]
    by_model: list[FailureRate]
    by_version: list[FailureRate] = []


class BackendSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Attempts and latencies of one backend.

    Attributes:
        placed: attempts, retries included.
        failed: failed attempts.
        p50_ms: median milliseconds from submission to outcome of successful requests; None without any.
        p95_ms: 95th percentile.
    """

    placed: int
    failed: int
    p50_ms: float | None = None
    p95_ms: float | None = None


class DuplicateRequests(msgspec.Struct, frozen=True):
    """Counts of repeated submissions of an id, and of those with different content."""

    count: int = 0
    conflicts: int = 0


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Totals of a set of requests.

    Attributes:
        outcomes: number of requests with an outcome.
        by_state: number of requests by final state; every state is a key.
        by_backend: summary of each backend, used or not.
        by_rule: placements by deciding rule, 1..5; every rule is a key.
        lost: number of the given ids without an outcome; None if no ids were given.
        duplicates: outcomes of further executions.
        repeats: submissions of an id that was already known.
    """

    outcomes: int
    by_state: dict[str, int]
    by_backend: dict[str, BackendSummary]
    by_rule: dict[int, int]
    lost: int | None
    duplicates: int
    repeats: int
