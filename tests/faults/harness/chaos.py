"""What a soak does to the stack, laid out from a seed before anything runs. Pure."""

import random
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


ENDS: Final = (Deed.KILL, Deed.ASK, Deed.STOP)
ON_COMPONENTS: Final = (*ENDS, Deed.FREEZE)
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
    """Lay out the acts of a soak; the same arguments give the same acts.

    Half of the components, drawn by lot, come to an end only in the first half of the time, the others in
    the second. So each process lives through half of the soak at one stretch while others die around it: long
    enough to see whether its memory grows.
    """
    chance = random.Random(seed)
    drawn = chance.sample(components, len(components))
    halves = drawn[: len(drawn) // 2], drawn[len(drawn) // 2 :]
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
            deed = chance.choice(ON_COMPONENTS)
            mortal = halves[at >= minutes * 30] if deed in ENDS else drawn
            found.append(Act(at, deed, chance.choice(mortal), lasts))
        at += round(chance.uniform(*PAUSE), 1)
    return found
