"""The model server's overhead over the model called in-process, and its throughput, beside MLServer's.

The digits model (ONNX), one image a call, one process for each server. *Overhead*: calls in-process, to
ours, to ours in binary tensors and to MLServer alternate, each to a machine at rest; it is a block's p50
less the p50 in-process. *Throughput*: h2load keeps each server busy in turn with 1, 8 and 32 clients.
"""

import statistics
import sys
from typing import Final

from benchmarks.peers.mlserver import environment
from benchmarks.results import Result
from benchmarks.rig import Rig
from benchmarks.support.h2load import answers_per_second
from benchmarks.support.timing import Call, medians
from benchmarks.support.v2_servers import IMAGE, Served, in_binary, in_json, our_server, their_server
from model_server.models.bundle import read_bundle
from model_server.models.engine import load_engine

CLIENTS: Final = (1, 8, 32)
PAUSE_S: Final = 0.01
WARM_UP_CALLS: Final = 20
PEER: Final = "MLServer"
Rounds = list[dict[str, float]]
"""Of each round, a figure of each server."""


def run(rig: Rig) -> list[Result]:
    """Measure overhead, then throughput, in rounds."""
    rig.say("providing MLServer")
    environment()
    rig.call("examples.digits.make_model", "--out", str(rig.models))
    folder = rig.folder("mlserver")
    rounds, calls = rig.size("rounds"), rig.size("calls")
    with our_server(rig, rig.models) as ours, their_server(folder, rig.models) as theirs:
        servers = {"json": in_json(ours), "binary": in_binary(ours), PEER: in_json(theirs)}
        over = overhead(rig, servers, rounds, calls)
        results = beside("overhead", "ms", over)
        for clients in CLIENTS:
            rates = [throughput(servers, clients, 10 * calls) for _ in range(rounds)]
            results += beside(f"throughput_{clients}", "answers/s", rates)
    return results


def overhead(rig: Rig, servers: dict[str, Served], rounds: int, calls: int) -> Rounds:
    """Return each server's p50 less that of the model in-process, in milliseconds."""
    engine = load_engine(read_bundle(rig.models / "digits" / "1"))
    alternating: dict[str, Call] = {"in-process": lambda: engine.run({"images": IMAGE})}
    alternating |= {name: server.call for name, server in servers.items()}
    medians(alternating, WARM_UP_CALLS, PAUSE_S)
    found = [medians(alternating, calls, PAUSE_S) for _ in range(rounds)]
    rig.say(f"in-process p50 {statistics.median(each['in-process'] for each in found):.3f} ms")
    return [{name: each[name] - each["in-process"] for name in servers} for each in found]


def throughput(servers: dict[str, Served], clients: int, calls: int) -> dict[str, float]:
    """Return the answers per second of each server."""
    return {
        name: answers_per_second(server.url, server.body, server.headers, clients=clients, calls=calls)
        for name, server in servers.items()
    }


def beside(title: str, unit: str, rounds: Rounds) -> list[Result]:
    """Return our server's results in JSON and in binary tensors, each beside MLServer's in JSON."""
    theirs = [each[PEER] for each in rounds]
    return [
        Result.beside(f"v2_server/{title}_{form}", unit, [each[form] for each in rounds], theirs, PEER)
        for form in ("json", "binary")
    ]


if __name__ == "__main__":
    from benchmarks.command.cli import main

    sys.exit(main("v2_server"))
