"""The leading scheduler dies at any step; the standby takes over."""

import pytest

from straightline.support.failpoints import VARIABLE, Step
from tests.faults.harness.fault_case import FaultCase
from tests.faults.harness.fault_stack import SCHEDULERS
from tests.faults.harness.oracle import Allowance
from tests.faults.harness.termination import Termination

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

FAILOVER_TIMEOUT_S = 5.0
"""Time after the leader's death within which the standby places requests."""


@pytest.mark.parametrize(
    "step", [Step.SCHEDULER_BEFORE_DECODE, Step.SCHEDULER_AFTER_PUBLISH, Step.SCHEDULER_AFTER_CONFIRM]
)
def test_01_scheduler_dies_between_two_steps__the_standby_takes_over_within_five_seconds(
    case: FaultCase, step: Step
) -> None:
    """It dies when it reaches the step for the 40th time, with requests at every other step."""
    supervisor = case.stack.supervisor
    for name in SCHEDULERS:
        supervisor.stop(name)
    supervisor.start("scheduler", once={VARIABLE: f"{step}:40"}, one_shot=True)
    case.stack.wait_for_leader("scheduler")
    supervisor.start("standby")
    with case.load() as load:
        case.fault_over(case.wait_restarted("scheduler"))
        load.wait_confirmed(60)
        results = case.check(allowed=Allowance(surplus=64, restarts={"scheduler": 1}))
    assert case.stack.leader() == "standby"
    assert results.recovery <= FAILOVER_TIMEOUT_S
    assert results.states().keys() == {"succeeded"}


@pytest.mark.fast
def test_01_scheduler_killed__the_standby_takes_over_within_five_seconds(case: FaultCase) -> None:
    leader = case.stack.leader()
    with case.load() as load:
        load.wait_confirmed(60)
        case.stack.supervisor.kill(leader, Termination.SIGKILL, down=True)
        case.fault_over()
        load.wait_confirmed(60)
        results = case.check(allowed=Allowance(surplus=64))
    assert case.stack.leader() != leader
    assert results.recovery <= FAILOVER_TIMEOUT_S
    assert results.states().keys() == {"succeeded"}
