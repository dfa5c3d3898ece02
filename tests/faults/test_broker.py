"""The broker stops, is killed, closes connections, loses a queue, runs out of memory or room."""

import pytest

from straightline import names
from tests.faults.kit.load import Mix
from tests.faults.kit.oracle import Allowance
from tests.faults.kit.row import Row

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

RECONNECTED = 10.0
"""Seconds after a restart of the broker within which all goes on."""
IN_FLIGHT = Allowance(surplus=20)
"""What was running when its connection went is run again."""
AWAY = pytest.mark.parametrize("away", [pytest.param(1, marks=pytest.mark.fast), pytest.param(35)])
"""Seconds; after the longer time clients have come to wait long between two tries."""


@AWAY
def test_08_broker_application_stopped_and_started__all_go_on_within_ten_seconds(row: Row, away: int) -> None:
    node = row.scene.node
    with row.load(Mix(confirm=90, deadline=120)) as load:
        load.wait_confirmed(60)
        node.ctl("stop_app")
        load.run_for(away)
        node.ctl("start_app")
        row.fault_over()
        load.wait_confirmed(60)
        judged = row.judge(allowed=IN_FLIGHT)
    assert judged.recovery <= RECONNECTED
    assert judged.states().keys() == {"succeeded"}


@AWAY
def test_09_broker_killed_and_started__confirmed_requests_survive(row: Row, away: int) -> None:
    with row.load(Mix(confirm=90, deadline=120)) as load:
        load.wait_confirmed(60)
        row.scene.node.kill()
        load.run_for(away)
        row.fault_over(row.scene.node.start())
        load.wait_confirmed(60)
        judged = row.judge(allowed=IN_FLIGHT)
    assert judged.recovery <= RECONNECTED
    assert judged.states().keys() == {"succeeded"}


def test_10_all_connections_closed_again_and_again__the_delivery_limit_is_not_burnt(row: Row) -> None:
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
        pytest.param("set_vm_memory_high_watermark", "0.00001", "0.4", id="memory", marks=pytest.mark.fast),
        pytest.param("set_disk_free_limit", "1000000GB", "200MB", id="disk"),
    ],
)
def test_13_broker_raises_an_alarm__producers_time_out_in_words_and_nothing_freezes(
    row: Row, setting: str, bad: str, good: str
) -> None:
    node = row.scene.node
    with row.load(Mix(confirm=4)) as load:
        load.wait_confirmed(60)
        node.ctl(setting, bad)
        row.wait_for(lambda: load.account.refused["BrokerUnavailable"] >= 8, "nobody has timed out")
        node.ctl(setting, good)
        row.fault_over()
        load.wait_confirmed(60)
        judged = row.judge(allowed=IN_FLIGHT)
    assert "memory and disk" in load.account.words["BrokerUnavailable"]
    assert load.account.slowest < 4 + 3
    assert judged.recovery <= RECONNECTED
    assert judged.states().keys() == {"succeeded"}
    assert node.ready()[names.OUTCOMES_QUEUE][0] == 0
