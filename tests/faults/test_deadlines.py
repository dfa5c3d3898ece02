"""A deadline passes at any step: the request ends as `expired`, once."""

import pytest

from tests.faults.harness.fault_case import FaultCase
from tests.faults.harness.fault_stack import SCHEDULERS
from tests.faults.harness.load import Mix
from tests.faults.harness.oracle import Allowance

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

SHORT_DEADLINE = Mix(rate=10, pinned=1.0, large=0.0, backends=("local",), deadline=2.0)
EXPIRY_TIMEOUT_S = 5.0
"""Time after the deadline within which an expired request has its outcome, if a process has it."""


@pytest.mark.fast
def test_26_deadline_passes_in_the_queue__expires_once(case: FaultCase) -> None:
    for name in SCHEDULERS:
        case.stack.supervisor.stop(name)
    with case.load(SHORT_DEADLINE) as load:
        load.wait_confirmed(20)
        load.stop()
        load.run_for(SHORT_DEADLINE.deadline)
        for name in SCHEDULERS:
            case.stack.supervisor.start(name)
        case.fault_over()
        results = case.check()
    assert results.states().keys() == {"expired"}
    assert not results.facts.executions


def test_26_deadline_passes_while_it_is_held__expires_once(case: FaultCase) -> None:
    case.stack.supervisor.stop("pool-local")
    # Requests in the pool's queue are read when the pool is back; the others are held.
    with case.load(SHORT_DEADLINE) as load:
        load.run_for(5)
        load.stop()
        load.run_for(SHORT_DEADLINE.deadline + EXPIRY_TIMEOUT_S)
        case.stack.supervisor.start("pool-local")
        case.fault_over()
        results = case.check()
    assert results.states().keys() == {"expired"}
    ends = results.facts.outcomes.values()
    assert (
        sorted(end.finished_at - (end.submitted_at or 0) for end in ends)[len(ends) // 2] < EXPIRY_TIMEOUT_S
    )


def test_26_deadline_passes_in_the_pool_or_while_running__expires_once(case: FaultCase) -> None:
    """The pool is overloaded: some requests wait too long, others are answered too late."""
    busy = Mix(
        rate=12, pinned=1.0, batch=0, large=0.0, backends=("local",), deadline=2.0, commands=("sleep:1.5",)
    )
    with case.load(busy) as load:
        load.wait_confirmed(60)
        case.fault_over()
        results = case.check(allowed=Allowance(surplus=20))
    states = results.states()
    assert states.keys() - {"rejected"} == {"succeeded", "expired"}
    # Once the pool's latency is known, requests that cannot meet their deadline there expire at once.
    assert states["rejected"] == results.error_classes()["saturated"]


def test_26_deadline_passes_while_running__expires_once(case: FaultCase) -> None:
    late = Mix(rate=2, pinned=1.0, batch=0, large=0, deadline=1.0, commands=("sleep:3",))
    with case.load(late) as load:
        load.wait_confirmed(10)
        case.fault_over()
        results = case.check()
    assert results.states().keys() == {"expired"}
