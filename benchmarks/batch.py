"""Latency of interactive requests while a batch job runs, beside the same without one.

Interactive requests come one at a time at a steady pace from this process. The job is `straightline batch
submit`, stopped as by Ctrl-C and taken up again between blocks. A round is a block without the job and one
beside it.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from benchmarks.results import Result
from benchmarks.rig import Rig
from benchmarks.support.batch_job import MODEL, SETTLE_S, CommandLineJob
from benchmarks.support.full_stack import INPUT, start_full_stack
from script.support.errors import StackError
from straightline import Client

RESULT_TIMEOUT_S: Final = 60.0
MIN_REQUESTS: Final = 100
"""Of a block; with fewer there is no p95."""


def run(rig: Rig) -> list[Result]:
    """Measure up to `rounds` rounds; fewer where the job ends before."""
    start_full_stack(rig)
    job = CommandLineJob(rig, rig.folder("batch"), rig.size("lines"))
    without: list[float] = []
    beside: list[float] = []
    rates: list[float] = []
    with Client(rig.environment["STRAIGHTLINE_BROKER_URL"]) as client:
        asker = Asker(client, rig.size("pace"))
        block_s = rig.size("block_s")
        asker.ask(until(SETTLE_S))  # warm up
        while not job.ended and len(beside) < rig.size("rounds"):
            alone = asker.ask(until(block_s))
            job.resume()
            before, began = job.done(), time.monotonic()
            busy = asker.ask(until(block_s), job.running)
            rate = (job.done() - before) / (time.monotonic() - began)
            job.stop()
            if len(busy) >= MIN_REQUESTS:
                without.append(percentile(alone, 0.95) * 1e3)
                beside.append(percentile(busy, 0.95) * 1e3)
                rates.append(rate)
                rig.say(f"round {len(beside)}: {figures('without', alone)}, {figures('beside', busy)}")
    if not beside:
        raise StackError("the batch job ended before one block of requests was measured: raise lines")
    return [
        Result.beside("batch/interactive_p95", "ms", beside, without, "no batch job"),
        Result.alone("batch/lines", "lines/s", rates),
    ]


class Asker:
    """Makes interactive requests.

    Args:
        client: of the SDK.
        pace: requests per second.
    """

    def __init__(self, client: Client, pace: float) -> None:
        self._client = client
        self._pace = pace
        self._data: Any = json.loads(INPUT.read_text())

    def ask(self, *go_on: Callable[[], bool]) -> list[float]:
        """Make requests while all of `go_on` hold, and return each one's time in seconds."""
        times: list[float] = []
        due = time.monotonic()
        while all(holds() for holds in go_on):
            time.sleep(max(0.0, due - time.monotonic()))
            began = time.monotonic()
            outcome = self._client.result(self._client.submit(MODEL, self._data), RESULT_TIMEOUT_S)
            times.append(time.monotonic() - began)
            assert outcome.state == "succeeded", outcome
            due = max(due + 1 / self._pace, time.monotonic())
        return times


def until(seconds: float) -> Callable[[], bool]:
    """Return a condition that holds for `seconds`."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() < end


def percentile(times: list[float], share: float) -> float:
    """Return the time that a share of the times is below."""
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


def figures(title: str, times: list[float]) -> str:
    """Return p50 and p95 in words."""
    p50, p95 = statistics.median(times) * 1e3, percentile(times, 0.95) * 1e3
    return f"{title} n {len(times)} p50 {p50:.1f} p95 {p95:.1f} ms"


if __name__ == "__main__":
    from benchmarks.command.cli import main

    sys.exit(main("batch"))
