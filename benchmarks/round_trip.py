"""Round trip of one request at a time through the local pool, beside plain Celery `rpc://`.

A no-op model of the Flask server; a no-op Celery task in a threads pool. *Idle*: calls of both alternate
with a pause between, either short, while the ledger still writes the previous request, or long, after which
the cores are asleep. *Back to back*: blocks of one, then of the other, each with warm caches and cores.
"""

import statistics
import sys
import time
from typing import Final

from benchmarks.results import Result
from benchmarks.rig import Rig
from benchmarks.support.request_path import BODY, start_celery, start_path
from benchmarks.support.timing import Call, milliseconds
from straightline.client import Client

PAUSES_S: Final = (0.02, 0.1)
CALL_TIMEOUT_S: Final = 30.0
PEER: Final = "Celery rpc://"

Blocks = tuple[list[list[float]], list[list[float]]]


def run(rig: Rig) -> list[Result]:
    """Measure with both pauses and back to back; one round is a block of calls of each."""
    rig.start_services()
    start_path(rig, slots=64)
    noop = start_celery(rig, "rpc://", "-P", "threads", "-c", "8").tasks["peer.noop"]
    rounds, calls = rig.size("rounds"), rig.size("calls")
    with Client(rig.broker_url) as client:

        def straightline() -> None:
            state = client.result(client.submit("noop", BODY), timeout=CALL_TIMEOUT_S).state
            assert state == "succeeded", state

        def celery() -> None:
            noop.delay(BODY).get(timeout=CALL_TIMEOUT_S)

        back_to_back(straightline, celery, 1, calls)  # both warm
        found = {
            f"idle_{pause * 1e3:.0f}ms": idle(straightline, celery, rounds, calls, pause)
            for pause in PAUSES_S
        }
        found["back_to_back"] = back_to_back(straightline, celery, rounds, calls)
    return [summarize(rig, name, times) for name, times in found.items()]


def back_to_back(ours: Call, theirs: Call, rounds: int, calls: int) -> Blocks:
    """Time blocks of one, then of the other."""
    times: Blocks = ([], [])
    for _ in range(rounds):
        for call, into in zip((ours, theirs), times, strict=True):
            into.append([milliseconds(call) for _ in range(calls)])
    return times


def idle(ours: Call, theirs: Call, rounds: int, calls: int, pause: float) -> Blocks:
    """Time one call of each in turn, with a pause before each."""
    times: Blocks = ([], [])
    for _ in range(rounds):
        for into in times:
            into.append([])
        for _ in range(calls):
            for call, into in zip((ours, theirs), times, strict=True):
                time.sleep(pause)
                into[-1].append(milliseconds(call))
    return times


def summarize(rig: Rig, title: str, times: Blocks) -> Result:
    """Print p50 and p99 of both, and return the p50s with their ratios."""
    for name, blocks in zip(("StraightLine", PEER), times, strict=True):
        every = [value for block in blocks for value in block]
        p99 = statistics.quantiles(every, n=100)[98]
        rig.say(
            f"{title:12} {name:14} p50 {statistics.median(every):6.2f} ms   p99 {p99:6.2f} ms   "
            f"({len(every)} calls)"
        )
    ours, theirs = ([statistics.median(block) for block in blocks] for blocks in times)
    return Result.beside(f"round_trip/{title}_p50", "ms", ours, theirs, PEER)


if __name__ == "__main__":
    from benchmarks.command.cli import main

    sys.exit(main("round_trip"))
