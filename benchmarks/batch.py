"""Latency of interactive requests while a batch runs, beside the same without one, block by block.

`python -m benchmarks.batch --lines 100000`, with a stack started (`source .straightline/env`): its pools
answer. Interactive requests come one at a time at a steady pace from this process; the batch is
`straightline batch submit` as a process of its own, stopped with Ctrl-C and taken up again between blocks.
Prints p50 and p95 of every block, and the ratio of the medians of the p95s. With `--folder` and `--seconds`
a long job is measured in several calls: each goes on where the one before left off.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any, Final

from benchmarks.batch_files import Answers, submit, write_lines
from straightline import Client

PATIENCE: Final = 60.0
SETTLED: Final = 5.0
"""Seconds after a job's first answers, or after it was stopped, in which nothing is measured."""


def main() -> None:
    """Measure and print."""
    asked = arguments()
    data = json.loads(asked.input.read_text())
    with Client(os.environ["STRAIGHTLINE_BROKER_URL"]) as client, tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        job = Job(folder, asked.model, data, asked.lines)
        measured = folder / "blocks.jsonl"
        until = time.monotonic() + asked.seconds
        ask(client, asked.model, data, asked.pace, _for(SETTLED))  # what is cold warms up
        while not job.ended and time.monotonic() < until:
            keep(measured, "without", ask(client, asked.model, data, asked.pace, _for(asked.block)))
            job.start()
            before, began = job.answered, time.monotonic()
            times = ask(client, asked.model, data, asked.pace, _both(_for(asked.block), job.running))
            took, lines = time.monotonic() - began, job.answered - before
            keep(measured, "beside", times, lines=lines, seconds=took)
            job.stop()
        tell(measured, job)


class Job:
    """A batch job as its user runs it.

    Args:
        folder: of its files; where they are there already, the job goes on.
        model: that answers.
        data: of each line.
        count: of lines.
    """

    def __init__(self, folder: Path, model: str, data: Any, count: int) -> None:
        self._source, self._out = folder / "lines.jsonl", folder / "answers.jsonl"
        self._model = model
        self._process: subprocess.Popen[str] | None = None
        self.ended = False
        folder.mkdir(parents=True, exist_ok=True)
        if not self._source.exists():
            write_lines(self._source, json.dumps(data), count)
        self._answers = Answers(self._out)

    @property
    def answered(self) -> int:
        """How many lines have an answer."""
        return self._answers.count()

    def running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Begin it or take it up again, and return when it is well under way."""
        before = self.answered
        command = [*submit(self._source, self._model, self._out), "--json"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        while self.running() and self.answered == before:
            time.sleep(0.05)
        time.sleep(SETTLED)

    def stop(self) -> None:
        """Stop it as Ctrl-C does, and wait until what is on its way has come to its end."""
        assert self._process is not None
        if self.running():
            self._process.send_signal(signal.SIGINT)
        told = json.loads(self._process.communicate()[0])
        assert told["failed"] == told["refused"] == 0, told
        self.ended = told["state"] == "done"
        if not self.ended:
            time.sleep(SETTLED)


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


def keep(measured: Path, name: str, times: list[float], **more: float) -> None:
    """Print a block, and keep it for the sum of all."""
    if len(times) < 100:
        return  # the job has ended before there was enough for a p95
    block = {"name": name, "times": times, **more}
    with measured.open("a") as file:
        file.write(json.dumps(block) + "\n")
    rate = f"  {more['lines'] / more['seconds']:6,.0f} lines/s" if more else ""
    print(f"{_figures(name, times)}{rate}", flush=True)


def tell(measured: Path, job: Job) -> None:
    """Print what all blocks say together."""
    blocks = [json.loads(line) for line in measured.read_text().splitlines()]
    beside = [block for block in blocks if block["name"] == "beside"]
    lines, seconds = sum(b["lines"] for b in beside), sum(b["seconds"] for b in beside)
    print(f"batch: {job.answered:,} lines answered; {lines / seconds:,.0f}/s over {seconds:.0f} s measured")
    p95s = {}
    for name in ("without", "beside"):
        each = [block["times"] for block in blocks if block["name"] == name]
        p95s[name] = statistics.median(percentile(times, 0.95) for times in each)
        print(
            f"{_figures(f'all {name}', [*chain(*each)])}  median of {len(each)}: {p95s[name] * 1000:.1f} ms"
        )
    print(f"ratio of p95, medians over blocks: {p95s['beside'] / p95s['without']:.2f}")


def percentile(times: list[float], share: float) -> float:
    """Return the time below which a share of them lies."""
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, default=100_000, help="of the batch")
    parser.add_argument("--model", default="digits")
    parser.add_argument("--input", type=Path, default=Path("examples/digits/three.json"), help="of each line")
    parser.add_argument("--pace", type=float, default=20.0, help="interactive requests per second")
    parser.add_argument("--block", type=float, default=20.0, help="seconds of a block")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no block after so many")
    parser.add_argument("--folder", type=Path, help="keep job and blocks there, and go on with them")
    return parser.parse_args()


def _figures(name: str, times: list[float]) -> str:
    p50, p95 = statistics.median(times), percentile(times, 0.95)
    return f"{name:<12} n {len(times):>5}  p50 {p50 * 1000:6.1f} ms  p95 {p95 * 1000:6.1f} ms"


def _for(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() < end


def _both(one: Callable[[], bool], other: Callable[[], bool]) -> Callable[[], bool]:
    return lambda: one() and other()


if __name__ == "__main__":
    main()
