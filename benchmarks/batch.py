"""Latency of interactive requests while a batch runs, beside the same without one, in turns, in one run.

`python -m benchmarks.batch --lines 100000`, with a stack started (`source .straightline/env`): its pools
answer. Interactive requests come one at a time at a steady pace from this process; the batch is
`straightline batch submit` as a process of its own. Prints p50 and p95 of both, and their ratio.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from straightline import Client

PATIENCE = 60.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, default=100_000, help="of the batch")
    parser.add_argument("--model", default="digits")
    parser.add_argument("--input", type=Path, default=Path("examples/digits/three.json"), help="of each line")
    parser.add_argument("--pace", type=float, default=20.0, help="interactive requests per second")
    parser.add_argument("--alone", type=float, default=30.0, help="seconds without a batch, before and after")
    asked = parser.parse_args()
    data = json.loads(asked.input.read_text())
    with Client(os.environ["STRAIGHTLINE_BROKER_URL"]) as client, tempfile.TemporaryDirectory() as folder:
        ask(client, asked.model, data, asked.pace, _for(5.0))  # what is cold warms up
        alone = ask(client, asked.model, data, asked.pace, _for(asked.alone))
        began = time.monotonic()
        batch = submit(Path(folder), asked.model, data, asked.lines)
        beside = ask(client, asked.model, data, asked.pace, lambda: batch.poll() is None)
        took = time.monotonic() - began
        alone += ask(client, asked.model, data, asked.pace, _for(asked.alone))
    told = json.loads(batch.communicate()[0])
    print(
        f"batch: {told['succeeded']:,} of {told['lines']:,} lines in {took:.0f} s, "
        f"{told['lines'] / took:,.0f}/s"
    )
    for name, times in (("without", alone), ("beside the batch", beside)):
        p50, p95 = statistics.median(times), percentile(times, 0.95)
        print(f"{name:<17} n {len(times):>5}  p50 {p50 * 1000:6.1f} ms  p95 {p95 * 1000:6.1f} ms")
    print(f"ratio of p95: {percentile(beside, 0.95) / percentile(alone, 0.95):.2f}")


def ask(client: Client, model: str, data: Any, pace: float, more: Callable[[], bool]) -> list[float]:
    """Ask at a pace and return how long each answer took, in seconds; a failed one counts as a fault."""
    times: list[float] = []
    due = time.monotonic()
    while more():
        time.sleep(max(0.0, due - time.monotonic()))
        began = time.monotonic()
        outcome = client.result(client.submit(model, data), PATIENCE)
        times.append(time.monotonic() - began)
        assert outcome.state == "succeeded", outcome
        due = max(due + 1 / pace, time.monotonic())
    return times


def submit(folder: Path, model: str, data: Any, count: int) -> subprocess.Popen[str]:
    """Write the lines and start the batch."""
    lines = folder / "lines.jsonl"
    with lines.open("w") as file:
        for number in range(count):
            file.write(json.dumps({"custom_id": str(number), "data": data}) + "\n")
    command = [sys.executable, "-m", "straightline", "batch", "submit", str(lines), "--model", model]
    return subprocess.Popen(
        [*command, "--out", str(folder / "answers.jsonl"), "--json"], stdout=subprocess.PIPE, text=True
    )


def percentile(times: list[float], share: float) -> float:
    """Return the time below which a share of them lies."""
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


def _for(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() < end


if __name__ == "__main__":
    main()
