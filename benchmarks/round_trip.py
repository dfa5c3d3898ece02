"""Round trip, one request at a time: `submit` to result through the local pool, beside plain Celery `rpc://`.

Run: python -m benchmarks.round_trip [--blocks B]

A no-op model of the Flask server; a no-op Celery task in a threads pool. Two ways: *idle*, where calls of
both alternate with a pause between, a short one, in which the ledger is still writing what came before, and
a long one, after which even the cores are asleep; and *back to back*, in blocks, where each keeps its own
caches and cores warm. The ratio is of the medians, block by block.
"""

import argparse
import statistics
import time
from collections.abc import Callable

from benchmarks.rig import BODY, rig, start_path, start_peer
from straightline.client import Client

BLOCK = 100
PAUSES = (0.02, 0.1)
"""Seconds between calls to systems at rest."""

Call = Callable[[], object]
Blocks = tuple[list[list[float]], list[list[float]]]


def milliseconds(call: Call) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


def back_to_back(ours: Call, theirs: Call, blocks: int) -> Blocks:
    """Time blocks of one, then of the other."""
    times: Blocks = ([], [])
    for _ in range(blocks):
        for call, into in zip((ours, theirs), times, strict=True):
            into.append([milliseconds(call) for _ in range(BLOCK)])
    return times


def idle(ours: Call, theirs: Call, blocks: int, pause: float) -> Blocks:
    """Time one call of each in turn, with a pause before each."""
    times: Blocks = ([], [])
    for _ in range(blocks):
        for into in times:
            into.append([])
        for _ in range(BLOCK):
            for call, into in zip((ours, theirs), times, strict=True):
                time.sleep(pause)
                into[-1].append(milliseconds(call))
    return times


def show(title: str, times: Blocks) -> None:
    """Print p50 and p99 of both, and the ratio."""
    print(title)
    for name, blocks in zip(("StraightLine", "Celery rpc://"), times, strict=True):
        every = [value for block in blocks for value in block]
        p99 = statistics.quantiles(every, n=100)[98]
        print(
            f"  {name:14} p50 {statistics.median(every):6.2f} ms   p99 {p99:6.2f} ms   ({len(every)} calls)"
        )
    ratios = [statistics.median(a) / statistics.median(b) for a, b in zip(*times, strict=True)]
    print(
        f"  ratio of p50: median {statistics.median(ratios):.2f} "
        f"(from {min(ratios):.2f} to {max(ratios):.2f})",
        flush=True,
    )


def main() -> None:
    """Measure both ways."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--blocks", type=int, default=7, help=f"of {BLOCK} calls each")
    options = parser.parse_args()
    with rig() as made:
        start_path(made, slots=64)
        noop = start_peer(made, "rpc://", "-P", "threads", "-c", "8").tasks["peer.noop"]
        with Client(made.broker_url) as client:

            def straightline() -> None:
                state = client.result(client.submit("noop", BODY), timeout=30).state
                assert state == "succeeded", state

            def celery() -> None:
                noop.delay(BODY).get(timeout=30)

            back_to_back(straightline, celery, 1)  # both warm
            for pause in PAUSES:
                title = f"idle, calls alternate, {pause * 1e3:.0f} ms between two"
                show(title, idle(straightline, celery, options.blocks, pause))
            show("back to back, in blocks", back_to_back(straightline, celery, options.blocks))


if __name__ == "__main__":
    main()
