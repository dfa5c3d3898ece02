"""The network between any two parties resets, swallows, halves, slows, narrows and cuts."""

from collections.abc import Iterator, Mapping

import pytest

from straightline.names import BACKENDS, Backend
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
PINNED: Mapping[str, tuple[Backend, ...]] = {
    "pool-local_server": ("serverless", "gpu-container"),
    "pool-functions": ("local", "gpu-container"),
}
"""Where a backend cannot be reached nobody insists on it: three attempts might all fall into that."""
BAD: Mapping[Weather, float] = {
    Weather.RESET: 2,
    Weather.BLACKHOLE: 6,
    Weather.HALF_OPEN: 0.5,
    Weather.SLOW: 2,
    Weather.NARROW: 3,
    Weather.CUT: 1,
}
"""For how many seconds."""
NOTICED = 60.0
"""Seconds within which a connection that is silent, and half open, is given up by all."""
FAST = (("scheduler-broker", Weather.CUT), ("pool-local_server", Weather.RESET))


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


@pytest.mark.parametrize("weather", BAD, ids=lambda weather: weather.name.lower())
@pytest.mark.parametrize("pair", PAIRS)
def test_15_network_between_two_parties__nobody_hangs_beyond_its_time_outs(
    lines: Mapping[str, Proxy], row: Row, pair: str, weather: Weather
) -> None:
    if (pair, weather) == ("recorder-database", Weather.HALF_OPEN):
        pytest.skip("the kernel notices by keep-alives, which a proxy on the same machine answers")
    line = lines[pair]
    url = row.scene.node.access.of("producer")
    if pair == "producer-broker":
        url = url.replace(f":{row.scene.node.port}/", f":{line.port}/")
    elif not line.lines:
        row.scene.wait_ready()
    # The proxy still takes what it swallows: half an open connection shows by heartbeats and time-outs alone.
    mix = Mix(rate=20, confirm=NOTICED, deadline=180, backends=PINNED.get(pair, BACKENDS))
    with row.load(mix, url=url) as load:
        load.wait_confirmed(30)
        line.turn(weather)
        load.run_for(BAD[weather])
        line.turn(Weather.CLEAR)
        row.fault_over()
        load.run_for(1)
        judged = row.judge(bound=NOTICED, allowed=Allowance(surplus=200))
    assert judged.states().keys() == {"succeeded"}
