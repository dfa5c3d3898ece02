"""Evaluation of memory samples: which processes grow.

Each process is evaluated from the end of its warm-up to its exit; a restarted one counts as another. A
process watched for less than `MIN_WATCHED_S` is reported as too brief.
"""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

WARM_UP_S: Final = 120.0
"""Start of each process that is left out: caches fill, code is loaded."""
MIN_WATCHED_S: Final = 600.0
"""Time after the warm-up for which a process must have been watched to be evaluated."""
HORIZON_S: Final = 1800.0
"""Period that `MAX_GROWTH` refers to."""
MAX_GROWTH: Final = 0.05
"""Growth in `HORIZON_S` that fails, as a share of the memory after the warm-up."""


@dataclass
class ProcessSamples:
    """Memory samples of one process.

    Attributes:
        name: of the component, and what the process is of it.
        samples: (seconds, bytes), ordered by time.
    """

    name: str
    samples: list[tuple[float, int]] = field(default_factory=list)

    @property
    def watched(self) -> float:
        """Seconds after the warm-up."""
        times = [at for at, _ in self.samples]
        return max(0.0, times[-1] - times[0] - WARM_UP_S) if times else 0.0


class Verdict(Enum):
    """Result for the processes of one name."""

    FLAT = "flat"
    GREW = "GREW"
    BRIEF = "too brief to evaluate"


@dataclass(frozen=True)
class GrowthReport:
    """Result for the processes of one name, with the figures of the one that grew most.

    Attributes:
        name: of the processes.
        verdict: the result.
        count: number of processes of that name.
        minutes: time watched after the warm-up; the longest one if all were too brief.
        first, last: medians of the first and the last quarter of that time, in bytes.
        slope: median of the slopes between any two samples, in bytes per second (Theil-Sen); a single step
            does not move it.
    """

    name: str
    verdict: Verdict
    count: int
    minutes: float
    first: float = 0.0
    last: float = 0.0
    slope: float = 0.0

    @property
    def growth(self) -> float:
        """Growth in `HORIZON_S` as a share of `first`; at least the growth observed."""
        return max(self.slope * HORIZON_S, self.last - self.first) / self.first if self.first else 0.0


def analyze(processes: Iterable[ProcessSamples]) -> list[GrowthReport]:
    """Evaluate all processes; return one report for each name, sorted by name."""
    named: dict[str, list[ProcessSamples]] = {}
    for process in processes:
        named.setdefault(process.name, []).append(process)
    return [_report(name, named[name]) for name in sorted(named)]


def failures(reports: Iterable[GrowthReport], *, lasting: Iterable[str]) -> list[str]:
    """Return the failures as sentences.

    Args:
        reports: of `analyze`.
        lasting: names of which at least one process must have been watched long enough.
    """
    found = {each.name: each for each in reports}
    return [
        *(
            f"{each.name} grew: {each.growth:+.1%} in {HORIZON_S / 60:g} minutes"
            for each in found.values()
            if each.verdict is Verdict.GREW
        ),
        *(
            f"{name} was not watched long enough to tell whether it grows"
            for name in lasting
            if name not in found or found[name].verdict is Verdict.BRIEF
        ),
    ]


def summary(reports: Iterable[GrowthReport]) -> str:
    """Return the conclusion if there are no failures."""
    if all(each.verdict is Verdict.BRIEF for each in reports):
        minutes = f"{(WARM_UP_S + MIN_WATCHED_S) / 60:g} minutes"
        return f"Memory was not evaluated: no process ran for {minutes}."
    return "Memory is flat in all processes watched long enough."


def _report(name: str, processes: list[ProcessSamples]) -> GrowthReport:
    reports = [_growth(process, len(processes)) for process in processes if process.watched >= MIN_WATCHED_S]
    if not reports:
        return GrowthReport(
            name, Verdict.BRIEF, len(processes), max(process.watched for process in processes) / 60
        )
    return max(reports, key=lambda each: each.growth)


def _growth(process: ProcessSamples, count: int) -> GrowthReport:
    since = process.samples[0][0] + WARM_UP_S
    kept = [(at, float(size)) for at, size in process.samples if at >= since]
    quarter = max(1, len(kept) // 4)
    sizes = [size for _, size in kept]
    slope = statistics.median(
        (late - early) / (then - at) for n, (at, early) in enumerate(kept) for then, late in kept[n + 1 :]
    )
    first, last = statistics.median(sizes[:quarter]), statistics.median(sizes[-quarter:])
    report = GrowthReport(
        name=process.name,
        verdict=Verdict.FLAT,
        count=count,
        minutes=process.watched / 60,
        first=first,
        last=last,
        slope=slope,
    )
    return replace(report, verdict=Verdict.GREW) if report.growth >= MAX_GROWTH else report
