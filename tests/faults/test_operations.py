"""What operators do: the same name twice, Flower, a rolling restart."""

import time

import pika
import pytest

from script.stack.processes import readiness_probes
from tests.faults.harness.deaths import Death, resident
from tests.faults.harness.oracle import Allowance
from tests.faults.harness.row import Row

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

EVENTS = 100_000
DRAINED = 15.0
"""Seconds after a rolling restart until all that came meanwhile is answered."""


def test_28_second_worker_of_one_name__is_refused_with_a_message_and_the_first_goes_on(row: Row) -> None:
    crew = row.scene.crew
    with row.load() as load:
        load.wait_confirmed(30)
        second = crew.second("pool-local")
        row.wait_for(lambda: not second.alive(), "the second worker still runs", 30)
        assert "name" in row.log("pool-local-second").splitlines()[-1], row.log("pool-local-second")
        row.fault_over()
        load.wait_confirmed(30)
        judged = row.judge()
    assert judged.states().keys() == {"succeeded"}


def test_29_flower_killed_with_100000_events_queued__requests_are_unaffected(row: Row) -> None:
    scene = row.scene
    scene.crew.start("flower")
    health = f"http://127.0.0.1:{scene.plan.flower_port}/healthcheck"
    row.wait_for(lambda: readiness_probes.answers_http(health), "Flower does not answer")
    with row.load() as load:
        load.wait_confirmed(60)
        flood(scene.node.url)
        scene.crew.die("flower", Death.KILLED, down=True)
        row.fault_over()
        load.wait_confirmed(60)
        judged = row.judge()
    assert judged.recovery < 2.0
    assert judged.latencies()[-1] < 5.0
    assert judged.states().keys() == {"succeeded"}


def flood(url: str) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    for number in range(EVENTS):
        event = b'{"type":"worker-heartbeat","hostname":"local@x","timestamp":%d,"clock":%d}'
        properties = pika.BasicProperties(content_type="application/json", content_encoding="utf-8")
        channel.basic_publish("celeryev", "worker.heartbeat", event % (int(time.time()), number), properties)
    connection.close()


def test_30_rolling_restart_of_every_component_under_load__loses_nothing(row: Row) -> None:
    crew = row.scene.crew
    rolled = [name for name in crew.names if name != "flower"]
    with row.load() as load:
        load.wait_confirmed(60)
        for name in rolled:
            assert crew.stop(name), f"{name} did not end by itself"
            crew.start(name)
            row.scene.wait_ready()
        row.fault_over()
        load.wait_confirmed(60)
        # A pool that ends finishes what it has; what a backend had when it was stopped is asked again.
        judged = row.judge(allowed=Allowance(surplus=40))
    assert judged.recovery <= DRAINED
    assert judged.states().keys() == {"succeeded"}
    assert all(resident(crew.process(name).pid) for name in rolled)
