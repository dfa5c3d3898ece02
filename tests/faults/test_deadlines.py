"""A deadline passes wherever a request may be: it ends `expired`, once."""

import pytest

from tests.faults.harness.load import Mix
from tests.faults.harness.oracle import Allowance
from tests.faults.harness.row import Row
from tests.faults.harness.scene import SCHEDULERS

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

HURRIED = Mix(rate=10, pinned=1.0, large=0.0, backends=("local",), deadline=2.0)
PROMPT = 5.0
"""Seconds after its deadline within which an expired request has its outcome, where something looks at it."""


@pytest.mark.fast
def test_26_deadline_passes_in_the_queue__expires_once(row: Row) -> None:
    for name in SCHEDULERS:
        row.scene.crew.stop(name)
    with row.load(HURRIED) as load:
        load.wait_confirmed(20)
        load.stop()
        load.run_for(HURRIED.deadline)
        for name in SCHEDULERS:
            row.scene.crew.start(name)
        row.fault_over()
        judged = row.judge()
    assert judged.states().keys() == {"expired"}
    assert not judged.facts.executions


def test_26_deadline_passes_while_it_is_held__expires_once(row: Row) -> None:
    row.scene.crew.stop("pool-local")
    # What was in the pool's queue when it went is read when it is back: the others are held.
    with row.load(HURRIED) as load:
        load.run_for(5)
        load.stop()
        load.run_for(HURRIED.deadline + PROMPT)
        row.scene.crew.start("pool-local")
        row.fault_over()
        judged = row.judge()
    assert judged.states().keys() == {"expired"}
    ends = judged.facts.endings.values()
    assert sorted(end.finished_at - (end.submitted_at or 0) for end in ends)[len(ends) // 2] < PROMPT


def test_26_deadline_passes_in_the_pool_or_while_running__expires_once(row: Row) -> None:
    """More is asked than the pool has time for: some wait in it too long, some are answered too late."""
    busy = Mix(
        rate=12, pinned=1.0, batch=0, large=0.0, backends=("local",), deadline=2.0, commands=("sleep:1.5",)
    )
    with row.load(busy) as load:
        load.wait_confirmed(60)
        row.fault_over()
        judged = row.judge(allowed=Allowance(surplus=20))
    states = judged.states()
    assert states.keys() - {"rejected"} == {"succeeded", "expired"}
    # Once the pool's latency is known, requests that cannot meet their deadline there expire at once.
    assert states["rejected"] == judged.reasons()["saturated"]


def test_26_deadline_passes_while_running__expires_once(row: Row) -> None:
    late = Mix(rate=2, pinned=1.0, batch=0, large=0, deadline=1.0, commands=("sleep:3",))
    with row.load(late) as load:
        load.wait_confirmed(10)
        row.fault_over()
        judged = row.judge()
    assert judged.states().keys() == {"expired"}
