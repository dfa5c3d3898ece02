"""The value types that a policy decides on, and what it decides."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Final

SERVERLESS: Final = "serverless"
GPU_CONTAINER: Final = "gpu-container"
LOCAL: Final = "local"
ALL: Final = (SERVERLESS, GPU_CONTAINER, LOCAL)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The operator's two dials: `F` in requests per second, `D` in bytes."""

    F: float = 50.0
    D: int = 262_144


@dataclass(frozen=True, slots=True)
class Features:
    """What a policy knows of a request.

    Attributes:
        model: its name.
        f_t: requests per second of this model at the time of the request.
        r_d: bytes of the input data.
        time_left: seconds until its deadline.
        backends: where the model may run.
        limits: for a backend, the largest data in bytes that the model takes there.
        allow: the only backends the producer allows; None allows all.
        excluded: backends where an earlier attempt failed.
        batch: whether it is backfill, which takes free slots only.
        max_wait: seconds that it may wait in a queue, its deadline apart.
    """

    model: str
    f_t: float
    r_d: int
    time_left: float
    backends: tuple[str, ...] = ALL
    limits: Mapping[str, int] = field(default_factory=dict)
    allow: tuple[str, ...] | None = None
    excluded: tuple[str, ...] = ()
    batch: bool = False
    max_wait: float = inf


@dataclass(frozen=True, slots=True)
class BackendState:
    """What is free right now on one backend.

    Attributes:
        down: why it cannot be used at all; None when it can.
        free: requests it could start at once.
        models: what is deployed there; None where any model is.
        max_payload: largest data in bytes that it takes; None without limit.
        best_cases: by model, seconds of its fastest answer there lately.
        busy: requests that are on their way there.
        rate: requests per second that it answers when it is full, at its best lately; None where not known.
    """

    down: str | None = None
    free: int = 0
    models: frozenset[str] | None = None
    max_payload: int | None = None
    best_cases: Mapping[str, float] = field(default_factory=dict)
    busy: int = 0
    rate: float | None = None


State = Mapping[str, BackendState]
"""By backend; a backend that is missing has never reported."""


@dataclass(frozen=True, slots=True)
class Placement:
    """What a policy decided, and why.

    Attributes:
        backend: where the request goes; None when no backend can take it now.
        rule: the branch that decided; 0 when none did.
        s_f: whether a local server was available.
        s_d: whether a GPU container was available.
        refused: for each backend that was looked at and was no candidate, why.
        infeasible: True when no refusal can pass with time, so that holding the request would be in vain.
    """

    backend: str | None
    rule: int
    s_f: bool = False
    s_d: bool = False
    refused: Mapping[str, str] = field(default_factory=dict)
    infeasible: bool = False


Policy = Callable[[Features, State, Thresholds], Placement]
