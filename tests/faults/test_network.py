"""Network faults between any two components: reset, black hole, half-open, slow, narrow, cut."""

from collections.abc import Callable, Iterator, Mapping

import pytest

from tests.faults.conftest import SharedStack
from tests.faults.harness.fault_case import FaultCase
from tests.faults.harness.fault_stack import SCHEDULERS, FaultStack
from tests.faults.harness.load import Mix
from tests.faults.harness.oracle import Allowance
from tests.faults.harness.proxy import LinkState, Proxy

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
DISTURBANCES: Mapping[str, tuple[tuple[LinkState, float], ...]] = {
    "reset-cut-slow-narrow": (
        (LinkState.RESET, 2),
        (LinkState.CUT, 1),
        (LinkState.SLOW, 2),
        (LinkState.NARROW, 3),
    ),
    "blackhole": ((LinkState.BLACKHOLE, 6),),
    "half-open": ((LinkState.HALF_OPEN, 0.5),),
}
"""Link states in order, each with its duration in seconds."""
DETECTION_TIMEOUT_S = 40.0
"""Time within which every component gives up a silent or half-open connection."""


class ProxiedLinks:
    """A proxy on each link between two components of a stack."""

    def __init__(self, stack: FaultStack) -> None:
        self.stack = stack
        ports = {
            "broker": stack.broker.port,
            "database": stack.database.port,
            "local": stack.plan.local_port,
            "functions": stack.plan.functions_port,
        }
        self.lines = {pair: Proxy(ports[server]) for pair, (_, server) in PAIRS.items()}
        redirects: dict[str, dict[int, int]] = {}
        for pair, (clients, server) in PAIRS.items():
            for client in clients:
                redirects.setdefault(client, {})[ports[server]] = self.lines[pair].port
        stack.redirect_ports(redirects)

    def close(self, *, undo: bool) -> None:
        if undo:
            self.stack.redirect_ports({})
        for line in self.lines.values():
            line.close()


@pytest.fixture(scope="module")
def wires(stage: SharedStack) -> Iterator[Callable[[FaultStack], Mapping[str, Proxy]]]:
    """The proxied links of a stack, made once for this module and again for a new stack."""
    laid: list[ProxiedLinks] = []

    def lay(stack: FaultStack) -> Mapping[str, Proxy]:
        if not laid or laid[-1].stack is not stack:
            laid.append(ProxiedLinks(stack))
        return laid[-1].lines

    yield lay
    for wires in laid:
        wires.close(undo=stage.has(wires.stack))


@pytest.mark.parametrize("spell", DISTURBANCES)
@pytest.mark.parametrize("pair", PAIRS)
def test_15_network_between_two_components__neither_hangs_beyond_its_timeouts(
    wires: Callable[[FaultStack], Mapping[str, Proxy]], case: FaultCase, pair: str, spell: str
) -> None:
    """Half-open connections are detected by heartbeats and timeouts only: the proxy acknowledges the data.

    A client gives up a silent broker after 26 s, the broker a silent client after 16 s.
    """
    line = wires(case.stack)[pair]
    if (pair, spell) == ("recorder-database", "half-open"):
        # The proxy answers TCP keep-alives, so the recorder relies on its statement timeout, four times over.
        case.stack.supervisor.restart("recorder", STRAIGHTLINE_RECORDER_STATEMENT_TIMEOUT="4")
        case.stack.wait_ready()
    url = case.stack.broker.access.of("producer")
    if pair == "producer-broker":
        url = url.replace(f":{case.stack.broker.port}/", f":{line.port}/")
    elif not line.connections:
        case.stack.wait_ready()
    with case.load(Mix(rate=20, confirm=DETECTION_TIMEOUT_S, deadline=180), url=url) as load:
        for state, seconds in DISTURBANCES[spell]:
            load.wait_confirmed(20)
            line.set_state(state)
            load.run_for(seconds)
            line.set_state(LinkState.CLEAR)
        case.fault_over()
        load.run_for(1)
        results = case.check(bound=DETECTION_TIMEOUT_S, allowed=Allowance(surplus=200))
    assert results.states().keys() == {"succeeded"}
