"""A worker dies or is asked to end, under load; two claim the same name."""

from typing import cast

import pytest

from straightline.names import Backend, backend_queue
from straightline.support.failpoints import VARIABLE, Step
from tests.faults.harness.deaths import Death
from tests.faults.harness.load import Mix
from tests.faults.harness.oracle import Allowance
from tests.faults.harness.row import Row
from tests.faults.harness.scene import POOLS
from tests.faults.harness.tree import descendants

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

REPLACED = 15.0
"""Seconds after a worker's death within which all that it had is answered."""
SLOW = Mix(commands=("echo", "echo", "sleep:0.3"), rate=20)


@pytest.mark.parametrize(
    "pool",
    [pytest.param(name, marks=[pytest.mark.fast] if name == "pool-gpu-container" else []) for name in POOLS],
)
def test_02_worker_killed_while_it_runs__its_placements_are_redelivered_and_nothing_is_left_over(
    row: Row, pool: str
) -> None:
    backend = cast(Backend, pool.removeprefix("pool-"))
    mix = Mix(commands=("sleep:0.4",), rate=4, pinned=1.0, large=0.0, backends=(backend,))
    with row.load() as others, row.load(mix, seed=2) as load:
        others.wait_confirmed(60)
        servers = descendants(row.scene.crew.process(pool).pid)
        row.wait_executed(load)
        row.scene.crew.die(pool)
        row.fault_over()
        load.run_for(4)
        judged = row.judge(allowed=Allowance(surplus=64, restarts={pool: 1}))
    assert judged.facts.surplus, "nothing ran when it was killed"
    assert judged.recovery <= REPLACED
    assert judged.states().keys() == {"succeeded"}
    row.wait_for(lambda: not any(process.alive() for process in servers), f"{pool} left model servers behind")


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(Step.WORKER_BEFORE_CALL),
        pytest.param(Step.WORKER_AFTER_CALL, marks=pytest.mark.fast),
        pytest.param(Step.WORKER_AFTER_CONFIRM),
    ],
)
def test_04_worker_dies_between_two_steps__each_request_has_one_outcome(row: Row, step: Step) -> None:
    pool = "pool-local"
    row.scene.crew.restart(pool, once={VARIABLE: f"{step}:20"})
    row.scene.wait_ready()
    with row.load() as load:
        row.fault_over(row.wait_restarted(pool))
        load.run_for(4)
        judged = row.judge(allowed=Allowance(surplus=64, restarts={pool: 1}))
    assert judged.recovery <= REPLACED
    assert judged.states().keys() == {"succeeded"}


@pytest.mark.parametrize("death", [Death.ASKED, Death.ASKED_TWICE, Death.ASKED_TO_QUIT])
def test_05_worker_stopped_under_load__loses_nothing(row: Row, death: Death) -> None:
    pool = "pool-local"
    with row.load(SLOW) as load:
        load.wait_confirmed(60)
        row.fault_over()
        row.scene.crew.die(pool, death)
        row.wait_restarted(pool)
        load.run_for(4)
        # Only a worker with enough time to stop has wasted no execution.
        spent = 0 if death is Death.ASKED else 64
        judged = row.judge(allowed=Allowance(surplus=spent, restarts={pool: 1}))
    assert judged.recovery <= REPLACED
    assert judged.states().keys() == {"succeeded"}


def test_03_request_that_kills_every_worker__is_redelivered_up_to_the_limit_and_dead_lettered(
    row: Row,
) -> None:
    """A worker dies of it each time before the call, as one does of a placement that takes all memory."""
    scene, pool = row.scene, "pool-gpu-container"
    scene.node.limit(backend_queue("gpu-container"), 1000, delivery_limit=2)
    scene.crew.restart(pool, None, **{VARIABLE: str(Step.WORKER_BEFORE_CALL)})
    scene.wait_ready()
    deadly = Mix(rate=4, pinned=1.0, batch=0, large=0.0, backends=("gpu-container",), deadline=150)
    with row.load(Mix(backends=("local", "serverless"), large=0.0)), row.load(deadly, seed=2) as load:
        load.wait_confirmed(1)
        load.stop()
        row.wait_restarted(pool, 3)
        scene.crew.restart(pool)
        scene.node.unlimit(backend_queue("gpu-container"))
        row.fault_over()
        judged = row.judge(bound=150, allowed=Allowance(restarts={pool: 6}, unknown_dead=3))
    assert judged.states().keys() <= {"succeeded", "failed"}


def test_03_worker_at_its_memory_limit__its_requests_are_placed_elsewhere(row: Row) -> None:
    scene, pool = row.scene, "pool-local"
    with row.load(Mix(large=0.2, rate=20)) as load:
        load.wait_confirmed(40)
        scene.crew.die(pool, Death.NO_MEMORY)
        load.run_for(5)
        scene.crew.restart(pool)
        row.fault_over()
        load.wait_confirmed(30)
        judged = row.judge(allowed=Allowance(surplus=64, restarts={pool: 2}))
    assert judged.recovery <= REPLACED
    assert judged.states().keys() == {"succeeded"}
