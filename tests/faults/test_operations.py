"""Operations: two workers of one name, Flower under load, a rolling restart."""

import time

import pika
import pytest

from script.stack.processes import readiness_probes
from tests.faults.harness.fault_case import FaultCase
from tests.faults.harness.oracle import Allowance
from tests.faults.harness.process_info import resident_bytes
from tests.faults.harness.termination import Termination

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

EVENT_COUNT = 100_000
RECOVERY_TIMEOUT_S = 15.0
"""Time after a rolling restart within which all requests are answered."""


def test_28_second_worker_of_one_name__is_refused_with_a_message_and_the_first_goes_on(
    case: FaultCase,
) -> None:
    supervisor = case.stack.supervisor
    with case.load() as load:
        load.wait_confirmed(30)
        second = supervisor.start_duplicate("pool-local")
        case.wait_for(lambda: not second.alive(), "the second worker still runs", 30)
        assert "name" in case.log("pool-local-second").splitlines()[-1], case.log("pool-local-second")
        case.fault_over()
        load.wait_confirmed(30)
        results = case.check()
    assert results.states().keys() == {"succeeded"}


def test_29_flower_killed_with_100000_events_queued__requests_are_unaffected(case: FaultCase) -> None:
    stack = case.stack
    stack.supervisor.start("flower")
    health = f"http://127.0.0.1:{stack.plan.flower_port}/healthcheck"
    case.wait_for(lambda: readiness_probes.answers_http(health), "Flower does not answer")
    with case.load() as load:
        load.wait_confirmed(60)
        flood(stack.broker.url)
        stack.supervisor.kill("flower", Termination.SIGKILL, down=True)
        case.fault_over()
        load.wait_confirmed(60)
        results = case.check()
    assert results.recovery < 2.0
    assert results.latencies()[-1] < 5.0
    assert results.states().keys() == {"succeeded"}


def flood(url: str) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    for number in range(EVENT_COUNT):
        event = b'{"type":"worker-heartbeat","hostname":"local@x","timestamp":%d,"clock":%d}'
        properties = pika.BasicProperties(content_type="application/json", content_encoding="utf-8")
        channel.basic_publish("celeryev", "worker.heartbeat", event % (int(time.time()), number), properties)
    connection.close()


def test_30_rolling_restart_of_every_component_under_load__loses_nothing(case: FaultCase) -> None:
    supervisor = case.stack.supervisor
    rolled = [name for name in supervisor.names if name != "flower"]
    with case.load() as load:
        load.wait_confirmed(60)
        for name in rolled:
            assert supervisor.stop(name), f"{name} did not exit by itself"
            supervisor.start(name)
            case.stack.wait_ready()
        case.fault_over()
        load.wait_confirmed(60)
        # A stopping pool finishes its requests; those running on a stopped backend are executed again.
        results = case.check(allowed=Allowance(surplus=40))
    assert results.recovery <= RECOVERY_TIMEOUT_S
    assert results.states().keys() == {"succeeded"}
    assert all(resident_bytes(supervisor.process(name).pid) for name in rolled)
