"""Idle round trip, one request at a time: `submit` to result through the local pool, beside plain Celery `rpc://`.

Run: python -m benchmarks.round_trip [--blocks B]

A no-op model of the Flask server; a no-op Celery task in a threads pool. Blocks of both in turn; the ratio of
medians is taken block by block.
"""

import argparse
import statistics
import time
from collections.abc import Callable

from benchmarks.rig import BODY, rig, start_path, start_peer
from straightline.client import Client

BLOCK = 100


def milliseconds(call: Callable[[], object]) -> list[float]:
    """Return how long each of a block of calls takes."""
    times = []
    for _ in range(BLOCK):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return times


def percentile(values: list[float], part: int) -> float:
    """Return a percentile (1..99)."""
    return statistics.quantiles(values, n=100)[part - 1]


def main() -> None:
    """Measure in turn and print p50 and p99 of both, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--blocks", type=int, default=9)
    options = parser.parse_args()
    with rig() as made:
        start_path(made, slots=64)
        noop = start_peer(made, "rpc://", "-P", "threads", "-c", "8").tasks["peer.noop"]
        ours: list[list[float]] = []
        theirs: list[list[float]] = []
        with Client(made.broker_url) as client:

            def straightline() -> None:
                state = client.result(client.submit("noop", BODY), timeout=30).state
                assert state == "succeeded", state

            def celery() -> None:
                noop.delay(BODY).get(timeout=30)

            milliseconds(straightline)
            milliseconds(celery)
            for _ in range(options.blocks):
                ours.append(milliseconds(straightline))
                theirs.append(milliseconds(celery))
        for name, blocks in (("StraightLine", ours), ("Celery rpc://", theirs)):
            every = [value for block in blocks for value in block]
            p50, p99 = statistics.median(every), percentile(every, 99)
            print(f"{name:14} p50 {p50:6.2f} ms   p99 {p99:6.2f} ms   ({len(every)} calls)")
        ratios = [statistics.median(a) / statistics.median(b) for a, b in zip(ours, theirs, strict=True)]
        print(
            f"ratio of p50: median {statistics.median(ratios):.2f} "
            f"(from {min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
