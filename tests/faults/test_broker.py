"""The broker stops, is killed, closes connections, loses a queue, runs out of memory or room."""

import pytest

from straightline import names
from tests.faults.harness.load import Mix
from tests.faults.harness.oracle import Allowance
from tests.faults.harness.row import Row
from tests.faults.harness.scene import SCHEDULERS

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

RECONNECTED = 10.0
"""Seconds after a restart of the broker within which all goes on."""
IN_FLIGHT = Allowance(surplus=20)
"""What was running when its connection went is run again."""


@pytest.mark.fast
def test_08_broker_application_restarted__all_components_recover_within_ten_seconds(row: Row) -> None:
    node = row.scene.node
    with row.load(Mix(confirm=90, deadline=120)) as load:
        load.wait_confirmed(60)
        node.ctl("stop_app")
        load.run_for(1)
        node.ctl("start_app")
        row.fault_over()
        load.wait_confirmed(60)
        judged = row.judge(allowed=IN_FLIGHT)
    assert judged.recovery <= RECONNECTED
    assert judged.states().keys() == {"succeeded"}


@pytest.mark.parametrize("away", [pytest.param(1, marks=pytest.mark.fast), pytest.param(35)])
def test_09_broker_killed_and_restarted__confirmed_requests_survive(row: Row, away: int) -> None:
    """It is away for a while: after the longer one clients have come to wait long between two tries."""
    with row.load(Mix(confirm=90, deadline=120)) as load:
        load.wait_confirmed(60)
        row.scene.node.kill()
        load.run_for(away)
        row.fault_over(row.scene.node.start())
        load.wait_confirmed(60)
        judged = row.judge(allowed=IN_FLIGHT)
    assert judged.recovery <= RECONNECTED
    assert judged.states().keys() == {"succeeded"}


def test_10_all_connections_closed_repeatedly__the_delivery_limit_is_not_reached(row: Row) -> None:
    """Each time what is unacknowledged is delivered again; after 20 times the queues would put it aside."""
    node = row.scene.node
    with row.load() as load:
        load.wait_confirmed(60)
        for _ in range(6):
            node.ctl("close_all_connections", "the tests want it")
            load.run_for(1)
        row.fault_over()
        load.wait_confirmed(60)
        judged = row.judge(allowed=Allowance(surplus=60))
    assert not judged.facts.dead
    assert judged.recovery <= RECONNECTED
    assert judged.states().keys() == {"succeeded"}


@pytest.mark.parametrize(
    ("setting", "bad", "good"),
    [
        pytest.param("set_vm_memory_high_watermark", "0.00001", "0.4", id="memory"),
        pytest.param("set_disk_free_limit", "1000000GB", "200MB", id="disk"),
    ],
)
def test_13_broker_raises_an_alarm__producers_time_out_with_a_message_and_nothing_freezes(
    row: Row, setting: str, bad: str, good: str
) -> None:
    node = row.scene.node
    with row.load(Mix(confirm=4)) as load:
        load.wait_confirmed(60)
        node.ctl(setting, bad)
        row.wait_for(lambda: load.account.refused["BrokerUnavailable"] >= 8, "no producer has timed out")
        node.ctl(setting, good)
        row.fault_over()
        load.wait_confirmed(60)
        judged = row.judge(allowed=IN_FLIGHT)
    assert "memory and disk" in load.account.words["BrokerUnavailable"]
    assert load.account.slowest < 4 + 3
    assert judged.recovery <= RECONNECTED
    assert judged.states().keys() == {"succeeded"}
    assert node.ready()[names.OUTCOMES_QUEUE][0] == 0


def test_11_consumer_timeout__the_worker_reconnects_and_does_not_exit(row: Row) -> None:
    """The broker closes the channel of a worker that holds a placement for longer than it allows."""
    scene, pool = row.scene, "pool-local"
    usual = scene.node.setting("consumer_timeout")
    scene.node.ctl("eval", "application:set_env(rabbit, consumer_timeout, 2000).")
    scene.crew.restart(pool)
    row.wait_for(lambda: "ready." in row.log(pool), "the pool does not start", 60)
    scene.node.ctl("eval", f"application:set_env(rabbit, consumer_timeout, {usual}).")
    mix = Mix(rate=3, pinned=1.0, batch=0, large=0, backends=("local",), commands=("sleep:4.5",))
    with row.load(Mix(rate=10)), row.load(mix, seed=2) as load:
        row.wait_for(lambda: "PRECONDITION_FAILED" in row.log(pool), "no channel was closed", 60)
        load.stop()
        # Now the channel is an ordinary one again.
        scene.crew.restart(pool)
        row.fault_over()
        judged = row.judge(bound=90, allowed=Allowance(surplus=200, each=20))
    assert judged.states().keys() <= {"succeeded", "failed"}
    assert judged.states()["failed"] == 0


def test_12_binding_of_a_pool_removed__placements_return_and_wait_until_it_is_restored(row: Row) -> None:
    node, queue = row.scene.node, names.backend_queue("local")
    with row.load() as load:
        load.wait_confirmed(60)
        node.unbind(queue, names.PLACEMENTS, "local")
        load.run_for(3)
        assert "was not taken" in row.log(row.scene.leader())
        node.bind(queue, names.PLACEMENTS, "local")
        row.fault_over()
        load.wait_confirmed(30)
        judged = row.judge()
    assert judged.recovery <= RECONNECTED
    assert judged.states().keys() == {"succeeded"}


def test_12_queue_of_a_pool_deleted__its_worker_reports_it_and_resumes_once_it_is_declared_again(
    row: Row,
) -> None:
    """Nothing lay in the queue: what an operator deletes with it no broker brings back.

    Such a request ends `expired`, `lost`, 30 s after its deadline: see the reconciler's tests.
    """
    node, queue = row.scene.node, names.backend_queue("gpu-container")
    elsewhere = Mix(pinned=0.0, large=0.0, rate=10)
    with row.load(elsewhere) as load:
        load.wait_confirmed(30)
        row.wait_for(lambda: node.depths()[queue] == 0, "the queue is not empty")
        node.ctl("delete_queue", "-p", node.vhost, queue)
        load.run_for(3)
        assert queue in row.log("pool-gpu-container")
        row.scene.declare()
        row.fault_over()
        with row.load(Mix(rate=5, pinned=1.0, large=0, backends=("gpu-container",)), seed=2) as pinned:
            pinned.wait_confirmed(15)
            judged = row.judge()
    assert judged.recovery <= RECONNECTED
    assert judged.states().keys() == {"succeeded"}


@pytest.mark.fast
def test_14_requests_overflow__the_producer_gets_an_error_and_accepted_requests_are_answered(
    row: Row,
) -> None:
    """The limit is raised at the end, not cleared: RabbitMQ 3.10 would not notice (see `Node.unlimit`)."""
    scene = row.scene
    for name in SCHEDULERS:
        scene.crew.stop(name)
    scene.node.limit(names.INTERACTIVE_QUEUE, 10)
    with row.load(Mix(batch=0.0)) as load:
        row.wait_for(lambda: load.account.refused["Rejected"] >= 20, "the producers feel nothing")
        for name in SCHEDULERS:
            scene.crew.start(name)
        scene.node.unlimit(names.INTERACTIVE_QUEUE)
        scene.wait_ready()
        row.fault_over()
        load.wait_confirmed(60)
        judged = row.judge()
    assert "full" in load.account.words["Rejected"]
    assert judged.recovery <= RECONNECTED
    assert judged.states().keys() == {"succeeded"}


def test_14_queue_of_a_pool_overflows__the_scheduler_holds_and_backs_off(row: Row) -> None:
    scene = row.scene
    scene.node.limit(names.backend_queue("local"), 1)
    # One at a time, so that each is a message of its own.
    single = Mix(rate=8, pinned=1.0, batch=0.0, large=0.0, backends=("local",))
    with row.load(single) as load:
        load.wait_confirmed(10)
        scene.crew.die("pool-local", down=True)  # without goodbye: it is given what it had slots for
        row.wait_for(lambda: "was not taken" in row.log(scene.leader()), "nothing was refused", 20)
        scene.crew.start("pool-local")
        scene.node.unlimit(names.backend_queue("local"))
        row.fault_over()
        load.wait_confirmed(30)
        judged = row.judge(bound=60, allowed=IN_FLIGHT)
    assert judged.states().keys() == {"succeeded"}


@pytest.mark.parametrize("user", ["scheduler", "pool-local", "recorder"])
@pytest.mark.parametrize("loss", ["password", "permissions"])
def test_27_permissions_revoked_from_a_running_component__it_reports_it_retries_and_loses_nothing(
    row: Row, user: str, loss: str
) -> None:
    node = row.scene.node
    logs = SCHEDULERS if user == "scheduler" else (user,)
    with row.load(Mix(confirm=60)) as load:
        load.wait_confirmed(60)
        node.take_rights(user, loss)
        load.run_for(6)
        said = " ".join(row.log(name) for name in logs)
        assert "refused" in said.lower(), said[-2000:]
        node.give_rights(user)
        row.fault_over()
        load.wait_confirmed(30)
        judged = row.judge(bound=60, allowed=Allowance(surplus=60, restarts={user: 1}))
    assert judged.recovery <= RECONNECTED + 5
    assert judged.states().keys() == {"succeeded"}
