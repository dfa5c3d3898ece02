"""The gateway's synchronous V2 infer, through the whole system, beside the local server called directly.

*Idle*: calls of both alternate, each to a system at rest. *Busy*: 16 callers keep each busy in turn. Both
have the same client and model: a no-op, or one that takes `work_ms` of processor time a request.
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec
import urllib3

from benchmarks.results import Result
from benchmarks.rig import Rig
from benchmarks.support.request_path import BODY, start_gateway, start_path
from benchmarks.support.timing import Call, medians
from outcomes.db.database import connected
from outcomes.queries.keys import create_key

CALLERS: Final = 16
CALLS_PER_CALLER: Final = 40
PAUSE_S: Final = 0.02
PEER: Final = "local server"


def run(rig: Rig) -> list[Result]:
    """Measure both ways; one round is a block of calls of each."""
    rig.start_services()
    local_url = start_path(rig, slots=64, threads=CALLERS, work_s=rig.size("work_ms") / 1e3)
    with connected(rig.database_url) as connection:
        key = create_key(connection, "benchmark", ["infer"])[1]
    calls = {"ours": caller(start_gateway(rig), key), "theirs": caller(local_url, key)}
    for call in calls.values():
        rate(call)  # both warm
    rounds = rig.size("rounds")
    waits = [medians(calls, rig.size("calls"), PAUSE_S) for _ in range(rounds)]
    rates = [{name: rate(call) for name, call in calls.items()} for _ in range(rounds)]
    return [
        _beside("gateway/idle_p50", "ms", waits).aim("ratio", at_most=4),
        _beside("gateway/busy", "answers/s", rates).aim("ratio", at_least=0.5),
    ]


def caller(url: str, key: str) -> Call:
    """Return a call of the model there."""
    pool = urllib3.PoolManager(maxsize=CALLERS, block=True)
    body = msgspec.json.encode(BODY)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def call() -> None:
        answer = pool.request(
            "POST", f"{url}/v2/models/noop/infer", body=body, headers=headers, retries=False
        )
        assert answer.status == 200, answer.data

    return call


def rate(call: Call) -> float:
    """Return answers per second with all callers at once."""
    with ThreadPoolExecutor(CALLERS) as threads:
        start = time.perf_counter()
        for done in [
            threads.submit(lambda: [call() for _ in range(CALLS_PER_CALLER)]) for _ in range(CALLERS)
        ]:
            done.result()
        return CALLERS * CALLS_PER_CALLER / (time.perf_counter() - start)


def _beside(name: str, unit: str, rounds: list[dict[str, float]]) -> Result:
    ours, theirs = ([each[side] for each in rounds] for side in ("ours", "theirs"))
    return Result.beside(name, unit, ours, theirs, PEER)


if __name__ == "__main__":
    from benchmarks.command.cli import main

    sys.exit(main("gateway"))
