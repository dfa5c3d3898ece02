"""The broker stops, is killed, closes connections, loses a queue, or runs out of memory or disk."""

import pytest

from straightline import names
from tests.events import logged_lines
from tests.faults.harness.fault_case import FaultCase
from tests.faults.harness.fault_stack import SCHEDULERS
from tests.faults.harness.load import Mix
from tests.faults.harness.oracle import Allowance

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

RECOVERY_TIMEOUT_S = 10.0
"""Time after a broker restart within which all components work again."""
IN_FLIGHT = Allowance(surplus=20)
"""Requests running when their connection was lost are executed again."""


@pytest.mark.fast
def test_08_broker_application_restarted__all_components_recover_within_ten_seconds(case: FaultCase) -> None:
    broker = case.stack.broker
    with case.load(Mix(confirm=90, deadline=120)) as load:
        load.wait_confirmed(60)
        broker.ctl("stop_app")
        load.run_for(1)
        broker.ctl("start_app")
        case.fault_over()
        load.wait_confirmed(60)
        results = case.check(allowed=IN_FLIGHT)
    assert results.recovery <= RECOVERY_TIMEOUT_S
    assert results.states().keys() == {"succeeded"}


@pytest.mark.parametrize("away", [pytest.param(1, marks=pytest.mark.fast), pytest.param(35)])
def test_09_broker_killed_and_restarted__confirmed_requests_survive(case: FaultCase, away: int) -> None:
    """Down for 35 s, so that clients have reached their longest reconnect interval, or for 1 s."""
    with case.load(Mix(confirm=90, deadline=120)) as load:
        load.wait_confirmed(60)
        case.stack.broker.kill()
        load.run_for(away)
        case.fault_over(case.stack.broker.start())
        load.wait_confirmed(60)
        results = case.check(allowed=IN_FLIGHT)
    assert results.recovery <= RECOVERY_TIMEOUT_S
    assert results.states().keys() == {"succeeded"}


def test_10_all_connections_closed_repeatedly__the_delivery_limit_is_not_reached(case: FaultCase) -> None:
    """Each closing redelivers unacknowledged messages; the delivery limit is 20."""
    broker = case.stack.broker
    with case.load() as load:
        load.wait_confirmed(60)
        for _ in range(6):
            broker.ctl("close_all_connections", "closed by a test")
            load.run_for(1)
        case.fault_over()
        load.wait_confirmed(60)
        results = case.check(allowed=Allowance(surplus=60))
    assert not results.facts.dead
    assert results.recovery <= RECOVERY_TIMEOUT_S
    assert results.states().keys() == {"succeeded"}


@pytest.mark.parametrize(
    ("setting", "bad", "good"),
    [
        pytest.param("set_vm_memory_high_watermark", "0.00001", "0.4", id="memory"),
        pytest.param("set_disk_free_limit", "1000000GB", "200MB", id="disk"),
    ],
)
def test_13_broker_raises_an_alarm__producers_time_out_with_a_message_and_nothing_freezes(
    case: FaultCase, setting: str, bad: str, good: str
) -> None:
    broker = case.stack.broker
    with case.load(Mix(confirm=4)) as load:
        load.wait_confirmed(60)
        broker.ctl(setting, bad)
        case.wait_for(lambda: load.record.refused["BrokerUnavailable"] >= 8, "no producer has timed out")
        broker.ctl(setting, good)
        case.fault_over()
        load.wait_confirmed(60)
        results = case.check(allowed=IN_FLIGHT)
    assert "memory and disk" in load.record.last_errors["BrokerUnavailable"]
    assert load.record.slowest < 4 + 3
    assert results.recovery <= RECOVERY_TIMEOUT_S
    assert results.states().keys() == {"succeeded"}
    assert broker.ready()[names.OUTCOMES_QUEUE][0] == 0


def test_11_consumer_timeout__the_worker_reconnects_and_does_not_exit(case: FaultCase) -> None:
    """The broker closes the channel of a worker that holds a placement beyond the consumer timeout."""
    stack, pool = case.stack, "pool-local"
    usual = stack.broker.setting("consumer_timeout")
    stack.broker.ctl("eval", "application:set_env(rabbit, consumer_timeout, 2000).")
    stack.supervisor.restart(pool)
    case.wait_for(lambda: "ready." in case.log(pool), "the pool does not start", 60)
    stack.broker.ctl("eval", f"application:set_env(rabbit, consumer_timeout, {usual}).")
    mix = Mix(rate=3, pinned=1.0, batch=0, large=0, backends=("local",), commands=("sleep:4.5",))
    with case.load(Mix(rate=10)), case.load(mix, seed=2) as load:
        case.wait_for(lambda: "PRECONDITION_FAILED" in case.log(pool), "no channel was closed", 60)
        load.stop()
        # The new channel has the usual timeout again.
        stack.supervisor.restart(pool)
        case.fault_over()
        results = case.check(bound=90, allowed=Allowance(surplus=200, each=20))
    assert results.states().keys() <= {"succeeded", "failed"}
    assert results.states()["failed"] == 0


def test_12_binding_of_a_pool_removed__placements_return_and_wait_until_it_is_restored(
    case: FaultCase,
) -> None:
    broker, queue = case.stack.broker, names.backend_queue("local")
    with case.load() as load:
        load.wait_confirmed(60)
        broker.unbind(queue, names.PLACEMENTS, "local")
        load.run_for(3)
        assert logged_lines(case.log(case.stack.leader()), "message_not_confirmed")
        broker.bind(queue, names.PLACEMENTS, "local")
        case.fault_over()
        load.wait_confirmed(30)
        results = case.check()
    assert results.recovery <= RECOVERY_TIMEOUT_S
    assert results.states().keys() == {"succeeded"}


def test_12_queue_of_a_pool_deleted__its_worker_reports_it_and_resumes_once_it_is_declared_again(
    case: FaultCase,
) -> None:
    """The deleted queue is empty: requests deleted with a queue end as `expired` (`lost`).

    The reconciler ends them 30 s after their deadline; see its tests.
    """
    broker, queue = case.stack.broker, names.backend_queue("gpu-container")
    elsewhere = Mix(pinned=0.0, large=0.0, rate=10)
    with case.load(elsewhere) as load:
        load.wait_confirmed(30)
        case.wait_for(lambda: broker.depths()[queue] == 0, "the queue is not empty")
        broker.ctl("delete_queue", "-p", broker.vhost, queue)
        load.run_for(3)
        assert queue in case.log("pool-gpu-container")
        case.stack.declare()
        case.fault_over()
        with case.load(Mix(rate=5, pinned=1.0, large=0, backends=("gpu-container",)), seed=2) as pinned:
            pinned.wait_confirmed(15)
            results = case.check()
    assert results.recovery <= RECOVERY_TIMEOUT_S
    assert results.states().keys() == {"succeeded"}


@pytest.mark.fast
def test_14_requests_overflow__the_producer_gets_an_error_and_accepted_requests_are_answered(
    case: FaultCase,
) -> None:
    """The limit is raised at the end, not cleared; see `BrokerNode.unlimit`."""
    stack = case.stack
    for name in SCHEDULERS:
        stack.supervisor.stop(name)
    stack.broker.limit(names.INTERACTIVE_QUEUE, 10)
    with case.load(Mix(batch=0.0)) as load:
        case.wait_for(lambda: load.record.refused["Rejected"] >= 20, "no producer was rejected")
        for name in SCHEDULERS:
            stack.supervisor.start(name)
        stack.broker.unlimit(names.INTERACTIVE_QUEUE)
        stack.wait_ready()
        case.fault_over()
        load.wait_confirmed(60)
        results = case.check()
    assert "full" in load.record.last_errors["Rejected"]
    assert results.recovery <= RECOVERY_TIMEOUT_S
    assert results.states().keys() == {"succeeded"}


def test_14_queue_of_a_pool_overflows__the_scheduler_holds_and_backs_off(case: FaultCase) -> None:
    stack = case.stack
    stack.broker.limit(names.backend_queue("local"), 1)
    # One at a time, so that none are coalesced.
    single = Mix(rate=8, pinned=1.0, batch=0.0, large=0.0, backends=("local",))
    with case.load(single) as load:
        load.wait_confirmed(10)
        stack.supervisor.kill("pool-local", down=True)  # without notice: the scheduler still uses its slots
        case.wait_for(
            lambda: bool(logged_lines(case.log(stack.leader()), "message_not_confirmed")),
            "nothing was refused",
            20,
        )
        stack.supervisor.start("pool-local")
        stack.broker.unlimit(names.backend_queue("local"))
        case.fault_over()
        load.wait_confirmed(30)
        results = case.check(bound=60, allowed=IN_FLIGHT)
    assert results.states().keys() == {"succeeded"}


@pytest.mark.parametrize("user", ["scheduler", "pool-local", "recorder"])
@pytest.mark.parametrize("loss", ["password", "permissions"])
def test_27_permissions_revoked_from_a_running_component__it_reports_it_retries_and_loses_nothing(
    case: FaultCase, user: str, loss: str
) -> None:
    broker = case.stack.broker
    logs = SCHEDULERS if user == "scheduler" else (user,)
    with case.load(Mix(confirm=60)) as load:
        load.wait_confirmed(60)
        broker.revoke(user, loss)
        load.run_for(6)
        log = " ".join(case.log(name) for name in logs)
        assert "refused" in log.lower(), log[-2000:]
        broker.grant(user)
        case.fault_over()
        load.wait_confirmed(30)
        results = case.check(bound=60, allowed=Allowance(surplus=60, restarts={user: 1}))
    assert results.recovery <= RECOVERY_TIMEOUT_S + 5
    assert results.states().keys() == {"succeeded"}
