"""A worker dies or is stopped under load."""

from typing import cast

import pytest

from straightline.names import Backend, backend_queue
from straightline.support.failpoints import VARIABLE, Step
from tests.faults.harness.fault_case import FaultCase
from tests.faults.harness.fault_stack import POOLS
from tests.faults.harness.load import Mix
from tests.faults.harness.oracle import Allowance
from tests.faults.harness.process_info import descendants
from tests.faults.harness.termination import Termination

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

RECOVERY_TIMEOUT_S = 15.0
"""Time after a worker's death within which its requests are answered."""
SLOW = Mix(commands=("echo", "echo", "sleep:0.3"), rate=20)


@pytest.mark.parametrize(
    "pool",
    [pytest.param(name, marks=[pytest.mark.fast] if name == "pool-gpu-container" else []) for name in POOLS],
)
def test_02_worker_killed_while_it_runs__its_placements_are_redelivered_and_nothing_is_left_over(
    case: FaultCase, pool: str
) -> None:
    backend = cast(Backend, pool.removeprefix("pool-"))
    mix = Mix(commands=("sleep:0.4",), rate=4, pinned=1.0, large=0.0, backends=(backend,))
    with case.load() as others, case.load(mix, seed=2) as load:
        others.wait_confirmed(60)
        servers = descendants(case.stack.supervisor.process(pool).pid)
        case.wait_executed(load)
        case.stack.supervisor.kill(pool)
        case.fault_over()
        load.run_for(4)
        results = case.check(allowed=Allowance(surplus=64, restarts={pool: 1}))
    assert results.facts.surplus, "nothing ran when it was killed"
    assert results.recovery <= RECOVERY_TIMEOUT_S
    assert results.states().keys() == {"succeeded"}
    case.wait_for(
        lambda: not any(process.alive() for process in servers), f"{pool} left model servers behind"
    )


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(Step.WORKER_BEFORE_CALL),
        pytest.param(Step.WORKER_AFTER_CALL, marks=pytest.mark.fast),
        pytest.param(Step.WORKER_AFTER_CONFIRM),
    ],
)
def test_04_worker_dies_between_two_steps__each_request_has_one_outcome(case: FaultCase, step: Step) -> None:
    pool = "pool-local"
    case.stack.supervisor.restart(pool, once={VARIABLE: f"{step}:20"})
    case.stack.wait_ready()
    with case.load() as load:
        case.fault_over(case.wait_restarted(pool))
        load.run_for(4)
        results = case.check(allowed=Allowance(surplus=64, restarts={pool: 1}))
    assert results.recovery <= RECOVERY_TIMEOUT_S
    assert results.states().keys() == {"succeeded"}


@pytest.mark.parametrize("death", [Termination.SIGTERM, Termination.SIGTERM_TWICE, Termination.SIGQUIT])
def test_05_worker_stopped_under_load__loses_nothing(case: FaultCase, death: Termination) -> None:
    pool = "pool-local"
    with case.load(SLOW) as load:
        load.wait_confirmed(60)
        case.fault_over()
        case.stack.supervisor.kill(pool, death)
        case.wait_restarted(pool)
        load.run_for(4)
        # Only a warm shutdown wastes no execution.
        spent = 0 if death is Termination.SIGTERM else 64
        results = case.check(allowed=Allowance(surplus=spent, restarts={pool: 1}))
    assert results.recovery <= RECOVERY_TIMEOUT_S
    assert results.states().keys() == {"succeeded"}


def test_03_request_that_kills_every_worker__is_redelivered_up_to_the_limit_and_dead_lettered(
    case: FaultCase,
) -> None:
    """The worker dies before each call, as with a placement that exhausts its memory."""
    stack, pool = case.stack, "pool-gpu-container"
    stack.broker.limit(backend_queue("gpu-container"), 1000, delivery_limit=2)
    stack.supervisor.restart(pool, None, **{VARIABLE: str(Step.WORKER_BEFORE_CALL)})
    stack.wait_ready()
    deadly = Mix(rate=4, pinned=1.0, batch=0, large=0.0, backends=("gpu-container",), deadline=150)
    with case.load(Mix(backends=("local", "serverless"), large=0.0)), case.load(deadly, seed=2) as load:
        load.wait_confirmed(1)
        load.stop()
        case.wait_restarted(pool, 3)
        stack.supervisor.restart(pool)
        stack.broker.unlimit(backend_queue("gpu-container"))
        case.fault_over()
        results = case.check(bound=150, allowed=Allowance(restarts={pool: 6}, unknown_dead=3))
    assert results.states().keys() <= {"succeeded", "failed"}


def test_03_worker_at_its_memory_limit__its_requests_are_placed_elsewhere(case: FaultCase) -> None:
    stack, pool = case.stack, "pool-local"
    with case.load(Mix(large=0.2, rate=20)) as load:
        load.wait_confirmed(40)
        stack.supervisor.kill(pool, Termination.OUT_OF_MEMORY)
        load.run_for(5)
        stack.supervisor.restart(pool)
        case.fault_over()
        load.wait_confirmed(30)
        results = case.check(allowed=Allowance(surplus=64, restarts={pool: 2}))
    assert results.recovery <= RECOVERY_TIMEOUT_S
    assert results.states().keys() == {"succeeded"}
