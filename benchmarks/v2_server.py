"""The model server's overhead over the model called in-process, beside MLServer's; cold starts of each form.

Run: python -m benchmarks.v2_server [--blocks B] [--calls N] [--starts N]

The digits model (ONNX), one image a call, one process for each server. *Overhead*: in-process, ours, ours in
binary tensors and MLServer's calls alternate, each to a machine at rest; a ratio is of the p50s of one
block, each less the model's own. *Throughput*: so many clients of h2load (Debian's nghttp2-client) keep
each server busy in turn. *Cold start*: from the start of the process, the invocation or the container until
the first answer. MLServer's environment is made once, in a minute.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks import h2load
from benchmarks.cold_starts import cold_starts
from benchmarks.mlserver import environment
from benchmarks.v2_servers import IMAGE, Call, in_binary, in_json, our_server, their_server
from examples.digits.train import main as train
from model_server.models.bundle import read_bundle
from model_server.models.engine import load_engine

CLIENTS: Final = (1, 8, 32)
PAUSE: Final = 0.01
"""Seconds between calls to a machine at rest."""


def medians(calls: dict[str, Call], count: int) -> dict[str, float]:
    """Return the median of each in milliseconds, over calls that alternate."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(count):
        for name, call in calls.items():
            time.sleep(PAUSE)
            start = time.perf_counter()
            call()
            times[name].append((time.perf_counter() - start) * 1e3)
    return {name: statistics.median(each) for name, each in times.items()}


def compare(models: Path, folder: Path, blocks: int, calls: int) -> None:
    """Measure overhead and throughput of both servers, and print them."""
    bundle = read_bundle(models / "digits" / "1")
    engine_here = load_engine(bundle)
    with our_server(models) as ours, their_server(folder, models) as theirs:
        servers = {"ours": in_json(ours), "ours, binary": in_binary(ours), "MLServer": in_json(theirs)}
        calls_of: dict[str, Call] = {"in-process": lambda: engine_here.answer({"images": IMAGE})}
        calls_of |= {name: server.call for name, server in servers.items()}
        medians(calls_of, 20)  # all of them warm
        waits = [medians(calls_of, calls) for _ in range(blocks)]
        rates = {
            clients: [
                {
                    name: h2load.answers_per_second(
                        server.url, server.body, server.headers, clients=clients, calls=10 * calls
                    )
                    for name, server in servers.items()
                }
                for _ in range(blocks)
            ]
            for clients in CLIENTS
        }
    print(f"one call at a time, p50: in-process {middle(waits, 'in-process'):.3f} ms")
    over = [{name: wait[name] - wait["in-process"] for name in servers} for wait in waits]
    show("  overhead", over, "ms")
    for clients, found in rates.items():
        show(f"{clients} at once", found, "answers/s")


def show(title: str, found: list[dict[str, float]], unit: str) -> None:
    """Print a figure of each server, and the ratios to MLServer block by block."""
    print(title + ": " + ", ".join(f"{name} {middle(found, name):.2f} {unit}" for name in found[0]))
    for name in found[0]:
        if name != "MLServer":
            ratios = [each[name] / each["MLServer"] for each in found]
            print(
                f"    {name} / MLServer: median {statistics.median(ratios):.2f} "
                f"(from {min(ratios):.2f} to {max(ratios):.2f})"
            )


def middle(found: list[dict[str, float]], name: str) -> float:
    """Return the median over the blocks."""
    return statistics.median(each[name] for each in found)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--calls", type=int, default=200, help="of each kind in a block")
    parser.add_argument("--starts", type=int, default=3, help="cold starts of each form")
    options = parser.parse_args()
    h2load.program()
    environment()
    with tempfile.TemporaryDirectory(prefix="straightline-") as name:
        folder = Path(name)
        models = folder / "models"
        assert train(["--out", str(models)]) == 0
        compare(models, folder, options.blocks, options.calls)
        cold_starts(models, folder, options.starts)


if __name__ == "__main__":
    main()
