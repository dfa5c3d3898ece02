"""Whether the memory of processes is flat: a pure judgement over samples that others took.

A process is judged for itself, from the end of its warm-up to its own end; one that is started anew is
another one, and starts again. A process watched for less than `ENOUGH` is not judged, which is reported.
"""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

WARM_UP: Final = 120.0
"""Seconds of each life that are left out: caches fill, code is loaded."""
ENOUGH: Final = 600.0
"""Seconds after the warm-up for which a process must have been watched to be judged."""
HORIZON: Final = 1800.0
"""Seconds over which a process may grow by less than `FLAT`, as a share of what it had after its warm-up."""
FLAT: Final = 0.05


@dataclass
class Life:
    """One process, from its first sample to its end.

    Attributes:
        name: of the component, and what the process is of it.
        samples: seconds and bytes, in the order of time.
    """

    name: str
    samples: list[tuple[float, int]] = field(default_factory=list)

    @property
    def watched(self) -> float:
        """Seconds after the warm-up."""
        times = [at for at, _ in self.samples]
        return max(0.0, times[-1] - times[0] - WARM_UP) if times else 0.0


class Finding(Enum):
    """What is said of a process."""

    FLAT = "flat"
    GREW = "GREW"
    BRIEF = "too brief to judge"


@dataclass(frozen=True)
class Judgement:
    """What is said of the processes of one name, by the one of them that grew most.

    Attributes:
        name: theirs.
        finding: what is said.
        lives: how many there were.
        minutes: for how long the one was watched after its warm-up; the longest, where all were too brief.
        first, last: bytes, the medians of the first and the last quarter of that time.
        slope: bytes per second: the median of the slopes between any two samples, which no single step moves.
    """

    name: str
    finding: Finding
    lives: int
    minutes: float
    first: float = 0.0
    last: float = 0.0
    slope: float = 0.0

    @property
    def growth(self) -> float:
        """How much it grows in `HORIZON`, as a share of what it had; at least what was seen of it."""
        return max(self.slope * HORIZON, self.last - self.first) / self.first if self.first else 0.0


def judge(lives: Iterable[Life]) -> list[Judgement]:
    """Judge all processes; return one line for each name, in their order."""
    named: dict[str, list[Life]] = {}
    for life in lives:
        named.setdefault(life.name, []).append(life)
    return [_judge(name, named[name]) for name in sorted(named)]


def faults(judged: Iterable[Judgement], *, lasting: Iterable[str]) -> list[str]:
    """Return, as sentences, what does not hold.

    Args:
        judged: what was found.
        lasting: names of which one process at least must have been watched for long enough.
    """
    found = {each.name: each for each in judged}
    return [
        *(
            f"{each.name} grew: {each.growth:+.1%} in {HORIZON / 60:g} minutes"
            for each in found.values()
            if each.finding is Finding.GREW
        ),
        *(
            f"{name} was not watched for long enough to say whether it grows"
            for name in lasting
            if name not in found or found[name].finding is Finding.BRIEF
        ),
    ]


def summary(judged: Iterable[Judgement]) -> str:
    """Say, where there is no fault, how much that means."""
    if all(each.finding is Finding.BRIEF for each in judged):
        minutes = f"{(WARM_UP + ENOUGH) / 60:g} minutes"
        return f"Memory was not judged: no process lived for {minutes}."
    return "Memory is flat, as far as it was watched."


def _judge(name: str, lives: list[Life]) -> Judgement:
    judged = [_growth(life, len(lives)) for life in lives if life.watched >= ENOUGH]
    if not judged:
        return Judgement(name, Finding.BRIEF, len(lives), max(life.watched for life in lives) / 60)
    return max(judged, key=lambda each: each.growth)


def _growth(life: Life, lives: int) -> Judgement:
    since = life.samples[0][0] + WARM_UP
    kept = [(at, float(size)) for at, size in life.samples if at >= since]
    quarter = max(1, len(kept) // 4)
    sizes = [size for _, size in kept]
    slope = statistics.median(
        (late - early) / (then - at) for n, (at, early) in enumerate(kept) for then, late in kept[n + 1 :]
    )
    first, last = statistics.median(sizes[:quarter]), statistics.median(sizes[-quarter:])
    told = Judgement(
        name=life.name,
        finding=Finding.FLAT,
        lives=lives,
        minutes=life.watched / 60,
        first=first,
        last=last,
        slope=slope,
    )
    return replace(told, finding=Finding.GREW) if told.growth >= FLAT else told
