"""The network between any two parties resets, swallows, halves, slows, narrows and cuts."""

from collections.abc import Iterator, Mapping

import pytest

from tests.faults.conftest import Stage
from tests.faults.kit.load import Mix
from tests.faults.kit.oracle import Allowance
from tests.faults.kit.proxy import Proxy, Weather
from tests.faults.kit.row import Row
from tests.faults.kit.scene import SCHEDULERS

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

PAIRS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "producer-broker": ((), "broker"),
    "scheduler-broker": (SCHEDULERS, "broker"),
    "pool-broker": (("pool-local",), "broker"),
    "recorder-broker": (("recorder",), "broker"),
    "recorder-database": (("recorder",), "database"),
    "pool-local_server": (("pool-local",), "local"),
    "pool-functions": (("pool-serverless",), "functions"),
}
"""Who asks whom."""
SPELLS: Mapping[str, tuple[tuple[Weather, float], ...]] = {
    "reset-cut-slow-narrow": (
        (Weather.RESET, 2),
        (Weather.CUT, 1),
        (Weather.SLOW, 2),
        (Weather.NARROW, 3),
    ),
    "blackhole": ((Weather.BLACKHOLE, 6),),
    "half-open": ((Weather.HALF_OPEN, 0.5),),
}
"""What comes one after the other, and for how many seconds."""
NOTICED = 40.0
"""Seconds within which a connection that is silent, and half open, is given up by all."""


@pytest.fixture(scope="module")
def lines(stage: Stage) -> Iterator[Mapping[str, Proxy]]:
    """A proxy between each two parties, through which they are connected for all tests of this module."""
    scene = stage.scene()
    ports = {
        "broker": scene.node.port,
        "database": scene.records.port,
        "local": scene.plan.local_port,
        "functions": scene.plan.functions_port,
    }
    lines = {pair: Proxy(ports[whom]) for pair, (_, whom) in PAIRS.items()}
    wiring: dict[str, dict[int, int]] = {}
    for pair, (askers, whom) in PAIRS.items():
        for asker in askers:
            wiring.setdefault(asker, {})[ports[whom]] = lines[pair].port
    scene.rewire(wiring)
    yield lines
    if stage.has(scene):
        scene.rewire({})
    for line in lines.values():
        line.close()


@pytest.mark.parametrize("spell", SPELLS)
@pytest.mark.parametrize("pair", PAIRS)
def test_15_network_between_two_parties__nobody_hangs_beyond_its_time_outs(
    lines: Mapping[str, Proxy], row: Row, pair: str, spell: str
) -> None:
    """Half an open connection shows by heartbeats and time-outs alone: the proxy takes what it swallows.

    A client gives a broker up that is silent after 26 s, the broker a client after 16 s.
    """
    line = lines[pair]
    if (pair, spell) == ("recorder-database", "half-open"):
        # The proxy answers the kernel's keep-alives. The recorder has patience for four statements.
        row.scene.crew.restart("recorder", STRAIGHTLINE_RECORDER_STATEMENT_TIMEOUT="4")
        row.scene.wait_ready()
    url = row.scene.node.access.of("producer")
    if pair == "producer-broker":
        url = url.replace(f":{row.scene.node.port}/", f":{line.port}/")
    elif not line.lines:
        row.scene.wait_ready()
    with row.load(Mix(rate=20, confirm=NOTICED, deadline=180), url=url) as load:
        for weather, seconds in SPELLS[spell]:
            load.wait_confirmed(20)
            line.turn(weather)
            load.run_for(seconds)
            line.turn(Weather.CLEAR)
        row.fault_over()
        load.run_for(1)
        judged = row.judge(bound=NOTICED, allowed=Allowance(surplus=200))
    assert judged.states().keys() == {"succeeded"}
