"""What a soak does to the stack, laid out from a seed before anything runs; how memory is judged. Pure."""

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

QUIET: Final = 20.0
"""Seconds at the start, and at the end, in which nothing is done."""
PAUSE: Final = (6.0, 20.0)
"""Seconds from one act to the next."""


class Deed(Enum):
    """What may be done."""

    KILL = "is killed"
    ASK = "is asked to end"
    FREEZE = "is frozen"
    STOP = "is stopped for a while"
    BROKER_APPLICATION = "stops and starts its application"
    BROKER_KILL = "is killed and started"
    BROKER_CONNECTIONS = "closes all connections"
    DATABASE_STOP = "is stopped at once and started"


ON_COMPONENTS: Final = (Deed.KILL, Deed.ASK, Deed.FREEZE, Deed.STOP)
ON_BROKER: Final = (Deed.BROKER_APPLICATION, Deed.BROKER_KILL, Deed.BROKER_CONNECTIONS)


@dataclass(frozen=True)
class Act:
    """One deed.

    Attributes:
        at: seconds after the start.
        deed: what.
        whom: a component, `broker` or `database`.
        lasts: seconds until it is undone, where there is something to undo.
    """

    at: float
    deed: Deed
    whom: str
    lasts: float


def acts(seed: int, minutes: float, components: Sequence[str]) -> list[Act]:
    """Lay out the acts of a soak; the same arguments give the same acts."""
    chance = random.Random(seed)
    found: list[Act] = []
    at = QUIET
    while at < minutes * 60 - QUIET:
        roll = chance.random()
        lasts = round(chance.uniform(1.0, 6.0), 1)
        if roll < 0.15:
            found.append(Act(at, chance.choice(ON_BROKER), "broker", lasts))
        elif roll < 0.25:
            found.append(Act(at, Deed.DATABASE_STOP, "database", lasts))
        else:
            found.append(Act(at, chance.choice(ON_COMPONENTS), chance.choice(components), lasts))
        at += round(chance.uniform(*PAUSE), 1)
    return found


@dataclass(frozen=True)
class Growth:
    """How the memory of one process went after it had warmed up.

    Attributes:
        minutes: how long it was watched.
        first, last: bytes, the medians of the first and the last quarter of that time.
        slope: bytes per hour, of the straight line through all samples.
    """

    minutes: float
    first: float
    last: float
    slope: float

    @property
    def share(self) -> float:
        """How much it grew, as a share of what it had."""
        return self.last / self.first - 1


def growth(samples: Sequence[tuple[float, int]], warm_up: float) -> Growth | None:
    """Judge the memory of one process; None where it was watched too briefly.

    Args:
        samples: (seconds since its start, bytes), in the order of time.
        warm_up: seconds that are left out: caches fill, code is loaded.
    """
    kept = [(at, size) for at, size in samples if at >= warm_up]
    if len(kept) < 8:
        return None
    quarter = len(kept) // 4
    times, sizes = [at for at, _ in kept], [float(size) for _, size in kept]
    slope = statistics.linear_regression(times, sizes).slope
    return Growth(
        minutes=(times[-1] - times[0]) / 60,
        first=statistics.median(sizes[:quarter]),
        last=statistics.median(sizes[-quarter:]),
        slope=slope * 3600,
    )
