"""Plan of a soak's random faults, made from a seed before anything runs."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

QUIET_S: Final = 20.0
"""Time without faults at the start and at the end."""
PAUSE_RANGE_S: Final = (6.0, 20.0)
"""Time from one action to the next."""


class ActionKind(Enum):
    """What an action does to its target."""

    KILL = "is killed"
    TERMINATE = "gets SIGTERM"
    FREEZE = "is frozen"
    STOP = "is stopped for a while"
    BROKER_APPLICATION = "stops and starts its application"
    BROKER_KILL = "is killed and started"
    BROKER_CONNECTIONS = "closes all connections"
    DATABASE_STOP = "is stopped at once and started"


ENDS: Final = (ActionKind.KILL, ActionKind.TERMINATE, ActionKind.STOP)
ON_COMPONENTS: Final = (*ENDS, ActionKind.FREEZE)
ON_BROKER: Final = (
    ActionKind.BROKER_APPLICATION,
    ActionKind.BROKER_KILL,
    ActionKind.BROKER_CONNECTIONS,
)


@dataclass(frozen=True)
class Action:
    """One planned fault.

    Attributes:
        at: seconds after the start.
        kind: what is done.
        target: a component, `broker` or `database`.
        duration: seconds until it is undone, for kinds that are.
    """

    at: float
    kind: ActionKind
    target: str
    duration: float


def plan_actions(seed: int, minutes: float, components: Sequence[str]) -> list[Action]:
    """Plan the actions of a soak; the same arguments give the same plan.

    A random half of the components ends only in the first half of the time, the rest only in the second. So
    each process runs through half of the soak while others end around it: long enough to see whether its
    memory grows.
    """
    rng = random.Random(seed)
    drawn = rng.sample(components, len(components))
    halves = drawn[: len(drawn) // 2], drawn[len(drawn) // 2 :]
    planned: list[Action] = []
    at = QUIET_S
    while at < minutes * 60 - QUIET_S:
        roll = rng.random()
        duration = round(rng.uniform(1.0, 6.0), 1)
        if roll < 0.15:
            planned.append(Action(at, rng.choice(ON_BROKER), "broker", duration))
        elif roll < 0.25:
            planned.append(Action(at, ActionKind.DATABASE_STOP, "database", duration))
        else:
            kind = rng.choice(ON_COMPONENTS)
            candidates = halves[at >= minutes * 30] if kind in ENDS else drawn
            planned.append(Action(at, kind, rng.choice(candidates), duration))
        at += round(rng.uniform(*PAUSE_RANGE_S), 1)
    return planned
