"""The gateway's synchronous V2 infer, through the whole system, beside the local server called directly.

Run: python -m benchmarks.gateway [--blocks B] [--work MS]

A no-op model, or one that takes so many milliseconds of a processor for each request. *One at a time*:
calls of both alternate, each to a system at rest. *Many at once*: so many callers keep each busy in turn.
Both have the same client; ratios are taken block by block.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec
import urllib3

from benchmarks.rig import BODY, Rig, rig, start_path, until
from outcomes.db.database import connected
from outcomes.queries.keys import create_key
from script.stack.processes import readiness_probes
from script.stack.services.ports import free_ports

CALLS = 100
CALLERS = 16
EACH = 40
PAUSE = 0.02
"""Seconds between calls to systems at rest."""

Call = Callable[[], object]


def start_gateway(made: Rig) -> str:
    """Start the gateway, and return its URL."""
    (port,) = free_ports(1)
    made.start("gateway", "gateway", "http", STRAIGHTLINE_GATEWAY_BIND=f"127.0.0.1:{port}")
    url = f"http://127.0.0.1:{port}"
    until(lambda: readiness_probes.answers_http(f"{url}/v2/health/ready"), "a gateway")
    return url


def caller(url: str, key: str) -> Call:
    """Return a call of the no-op model there."""
    pool = urllib3.PoolManager(maxsize=CALLERS, block=True)
    body = msgspec.json.encode(BODY)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def call() -> None:
        answer = pool.request(
            "POST", f"{url}/v2/models/noop/infer", body=body, headers=headers, retries=False
        )
        assert answer.status == 200, answer.data

    return call


def milliseconds(call: Call) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


def alternate(ours: Call, theirs: Call) -> tuple[float, float]:
    """Return the medians of a block, in milliseconds."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(CALLS):
        for call, into in zip((ours, theirs), times, strict=True):
            time.sleep(PAUSE)
            into.append(milliseconds(call))
    return statistics.median(times[0]), statistics.median(times[1])


def rate(call: Call) -> float:
    """Return answers per second for many callers at once."""
    with ThreadPoolExecutor(CALLERS) as threads:
        start = time.perf_counter()
        for done in [threads.submit(lambda: [call() for _ in range(EACH)]) for _ in range(CALLERS)]:
            done.result()
        return CALLERS * EACH / (time.perf_counter() - start)


def main() -> None:
    """Measure both ways and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--work", type=float, default=0.0, help="milliseconds that the model takes")
    options = parser.parse_args()
    with rig(options.work / 1e3) as made:
        start_path(made, slots=64, threads=CALLERS)
        with connected(made.database_url) as connection:
            key = create_key(connection, "benchmark", ["infer"])[1]
        ours = caller(start_gateway(made), key)
        theirs = caller(made.environment["STRAIGHTLINE_LOCAL_URL"], key)
        rate(ours), rate(theirs)  # both warm
        waits = [alternate(ours, theirs) for _ in range(options.blocks)]
        rates = [(rate(ours), rate(theirs)) for _ in range(options.blocks)]
    for title, pairs, unit, bound in (
        ("one at a time, p50", waits, "ms", "at most 4"),
        (f"{CALLERS} at once", rates, "answers/s", "at least 0.5"),
    ):
        first, second = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratios = [a / b for a, b in pairs]
        print(f"{title}: gateway {first:.2f} {unit}, local server {second:.2f} {unit}")
        print(
            f"  ratio: median {statistics.median(ratios):.2f} "
            f"(from {min(ratios):.2f} to {max(ratios):.2f}); {bound}"
        )


if __name__ == "__main__":
    main()
