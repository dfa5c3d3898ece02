"""The scheduler dies, wherever it hurts; the standby takes over."""

import pytest

from straightline.support.failpoints import VARIABLE, Step
from tests.faults.harness.deaths import Death
from tests.faults.harness.oracle import Allowance
from tests.faults.harness.row import Row
from tests.faults.harness.scene import SCHEDULERS

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

TAKEN_OVER = 5.0
"""Seconds after the leader's death within which the standby places."""


@pytest.mark.parametrize(
    "step", [Step.SCHEDULER_BEFORE_DECODE, Step.SCHEDULER_AFTER_PUBLISH, Step.SCHEDULER_AFTER_CONFIRM]
)
def test_01_scheduler_dies_between_two_steps__the_standby_takes_over_within_five_seconds(
    row: Row, step: Step
) -> None:
    """It dies at the fortieth time that it comes to the step, with requests under way at every other one."""
    crew = row.scene.crew
    for name in SCHEDULERS:
        crew.stop(name)
    crew.start("scheduler", once={VARIABLE: f"{step}:40"}, mortal=True)
    row.scene.wait_for_leader("scheduler")
    crew.start("standby")
    with row.load() as load:
        row.fault_over(row.wait_restarted("scheduler"))
        load.wait_confirmed(60)
        judged = row.judge(allowed=Allowance(surplus=64, restarts={"scheduler": 1}))
    assert row.scene.leader() == "standby"
    assert judged.recovery <= TAKEN_OVER
    assert judged.states().keys() == {"succeeded"}


@pytest.mark.fast
def test_01_scheduler_killed__the_standby_takes_over_within_five_seconds(row: Row) -> None:
    leader = row.scene.leader()
    with row.load() as load:
        load.wait_confirmed(60)
        row.scene.crew.die(leader, Death.KILLED, down=True)
        row.fault_over()
        load.wait_confirmed(60)
        judged = row.judge(allowed=Allowance(surplus=64))
    assert row.scene.leader() != leader
    assert judged.recovery <= TAKEN_OVER
    assert judged.states().keys() == {"succeeded"}
