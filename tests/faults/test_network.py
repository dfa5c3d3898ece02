"""The network between any two parties resets, swallows, halves, slows, narrows and cuts."""

from collections.abc import Callable, Iterator, Mapping

import pytest

from tests.faults.conftest import Stage
from tests.faults.harness.load import Mix
from tests.faults.harness.oracle import Allowance
from tests.faults.harness.proxy import Proxy, Weather
from tests.faults.harness.row import Row
from tests.faults.harness.scene import SCHEDULERS, Scene

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
"""The connected components."""
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


class Wires:
    """A proxy between each two parties of a scene, through which they are connected."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        ports = {
            "broker": scene.node.port,
            "database": scene.records.port,
            "local": scene.plan.local_port,
            "functions": scene.plan.functions_port,
        }
        self.lines = {pair: Proxy(ports[whom]) for pair, (_, whom) in PAIRS.items()}
        wiring: dict[str, dict[int, int]] = {}
        for pair, (askers, whom) in PAIRS.items():
            for asker in askers:
                wiring.setdefault(asker, {})[ports[whom]] = self.lines[pair].port
        scene.rewire(wiring)

    def close(self, *, undo: bool) -> None:
        if undo:
            self.scene.rewire({})
        for line in self.lines.values():
            line.close()


@pytest.fixture(scope="module")
def wires(stage: Stage) -> Iterator[Callable[[Scene], Mapping[str, Proxy]]]:
    """The lines of a scene, laid once for this module, and anew where a row has cost the scene."""
    laid: list[Wires] = []

    def lay(scene: Scene) -> Mapping[str, Proxy]:
        if not laid or laid[-1].scene is not scene:
            laid.append(Wires(scene))
        return laid[-1].lines

    yield lay
    for wires in laid:
        wires.close(undo=stage.has(wires.scene))


@pytest.mark.parametrize("spell", SPELLS)
@pytest.mark.parametrize("pair", PAIRS)
def test_15_network_between_two_components__neither_hangs_beyond_its_timeouts(
    wires: Callable[[Scene], Mapping[str, Proxy]], row: Row, pair: str, spell: str
) -> None:
    """Half an open connection shows by heartbeats and time-outs alone: the proxy takes what it swallows.

    A client gives a broker up that is silent after 26 s, the broker a client after 16 s.
    """
    line = wires(row.scene)[pair]
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
