"""Memory of every component while a batch job runs: whether it stays flat however many lines there are."""

import sys
import time
from typing import Final

from benchmarks.results import Result
from benchmarks.rig import Rig
from benchmarks.support.batch_job import CommandLineJob, Job, UploadedJob
from benchmarks.support.full_stack import start_full_stack
from benchmarks.support.memory import Memory, Snapshot, snapshot

MARKS: Final = (0.1, 0.5, 1.0)
"""Shares of the lines at which memory is compared."""
POLL_INTERVAL_S: Final = 1.0
JOB: Final = "batch submit"
"""Name of the job's own process."""


def run(rig: Rig) -> list[Result]:
    """Measure during a job of `straightline batch submit`."""
    start_full_stack(rig)
    return measure(rig, "batch_memory", CommandLineJob(rig, rig.folder("batch"), rig.size("lines")))


def run_http(rig: Rig) -> list[Result]:
    """Measure during a job that is uploaded to the gateway."""
    start_full_stack(rig)
    return measure(rig, "batch_memory_http", UploadedJob(rig, rig.folder("batch"), rig.size("lines")))


def measure(rig: Rig, name: str, job: Job) -> list[Result]:
    """Run the job, and return each component's own memory at the last mark beside that at the first."""
    lines = rig.size("lines")
    before = snapshot(rig.run, {})
    began = time.monotonic()
    job.start()
    marks, peak = watch(rig, job, lines)
    rig.say(f"{lines:,} lines in {time.monotonic() - began:,.0f} s")
    show(rig, before, marks, peak)
    return [
        Result.beside(
            f"{name}/{component.replace(' ', '_')}",
            "MiB own",
            [marks[-1][component].own],
            [marks[0][component].own],
            f"at {MARKS[0]:.0%}",
        )
        for component in sorted(marks[-1])
        if component in marks[0] and marks[0][component].own
    ]


def watch(rig: Rig, job: Job, lines: int) -> tuple[list[Snapshot], Snapshot]:
    """Take snapshots until the job is done; return those at the marks, and the peak of each component."""
    at = [int(share * lines) for share in MARKS]
    also = {JOB: job.pid} if job.pid else {}
    seen: list[Snapshot] = []
    peak: Snapshot = {}
    while len(seen) < len(at):
        now = snapshot(rig.run, also)
        peak |= {name: max(memory, peak.get(name, memory)) for name, memory in now.items()}
        done = job.done()
        if done >= at[len(seen)] or (done >= lines - 1 and JOB in also and JOB not in now):
            seen.append(now if JOB in now or JOB not in also else now | {JOB: peak[JOB]})
            told = ", ".join(f"{name} {now[name].total:.0f}" for name in sorted(now))
            rig.say(f"{done:,} lines, MiB: {told}")
        time.sleep(POLL_INTERVAL_S)
    return seen, peak


def show(rig: Rig, before: Snapshot, marks: list[Snapshot], peak: Snapshot) -> None:
    """Print a table of the total memory of each component."""
    heads = ["before", *(f"{share:.0%}" for share in MARKS), "own growth", "peak"]
    rig.say(f"{'MiB':<20}" + "".join(f"{head:>12}" for head in heads))
    none = Memory(0.0, 0.0)
    for name in sorted(marks[-1]):
        at = [memory.get(name, none) for memory in (before, *marks)]
        figures = [memory.total for memory in at]
        figures += [at[-1].own - at[1].own, peak[name].total]
        rig.say(f"{name:<20}" + "".join(f"{figure:12.1f}" for figure in figures))


if __name__ == "__main__":
    from benchmarks.command.cli import main

    sys.exit(main("batch_memory"))
