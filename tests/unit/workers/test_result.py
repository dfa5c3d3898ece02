"""Attempts and outcomes hold all that happened."""

from collections.abc import Callable

import pytest

from tests.builders import make_attempt
from workers.domain.outcomes import PRICES, PoolIdentity, Price, attempt_of, cost_of, outcome_of
from workers.domain.placements import Work
from workers.domain.result import ExecutionResult

POOL = PoolIdentity(backend="local", worker="local@test", price=PRICES["local"])
EARLIER = make_attempt(backend="serverless", error_class="throttled")


def test_the_attempt_has_its_timings(make_work: Callable[..., Work]) -> None:
    work = make_work()
    placed = work.ticket.placed_at or 0.0
    result = ExecutionResult(
        kind="succeeded", started_at=placed + 1.5, finished_at=placed + 3.5, service=2.0, cold_start=0.5
    )
    attempt = attempt_of(work, result, POOL)
    assert (attempt.wait, attempt.service, attempt.cold_start) == (1.5, 2.0, 0.5)
    assert (attempt.number, attempt.backend, attempt.worker) == (1, "local", "local@test")


def test_a_slow_clock_does_not_make_the_wait_negative(make_work: Callable[..., Work]) -> None:
    work = make_work()
    result = ExecutionResult(kind="succeeded", started_at=(work.ticket.placed_at or 0.0) - 5, finished_at=0.0)
    assert attempt_of(work, result, POOL).wait == 0.0


def test_earlier_attempts_are_kept_before_the_last(make_work: Callable[..., Work]) -> None:
    work = make_work(attempts=[EARLIER])
    outcome = outcome_of(work, ExecutionResult(kind="succeeded", started_at=5.0, finished_at=6.0), POOL)
    assert [(attempt.number, attempt.backend) for attempt in outcome.attempts] == [
        (1, "serverless"),
        (2, "local"),
    ]
    assert outcome.backend == "local"


def test_a_request_without_a_call_has_no_attempt(make_work: Callable[..., Work]) -> None:
    result = ExecutionResult(kind="expired", started_at=5.0, finished_at=5.0, asked=False)
    outcome = outcome_of(make_work(attempts=[EARLIER]), result, POOL)
    assert (outcome.attempts, outcome.backend, outcome.cost) == ([EARLIER], "serverless", None)


def test_a_fault_is_not_an_outcome(make_work: Callable[..., Work]) -> None:
    with pytest.raises(ValueError, match="not final"):
        outcome_of(make_work(), ExecutionResult(kind="fault", started_at=5.0, finished_at=5.0), POOL)


def test_requests_of_one_call_share_its_cost() -> None:
    result = ExecutionResult(kind="succeeded", started_at=0.0, finished_at=2.0, service=2.0, share=4)
    assert cost_of(result, Price(per_second=0.1, per_call=0.2)) == pytest.approx(0.1)


def test_a_long_error_is_cut(make_work: Callable[..., Work]) -> None:
    result = ExecutionResult(kind="failed", started_at=0.0, finished_at=0.0, error="x" * 10_000)
    outcome = outcome_of(make_work(), result, POOL)
    assert outcome.error is not None
    assert len(outcome.error) == 500
