"""Inputs and result of a placement policy: tuples, since several are made for each request."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from straightline.names import Backend

SERVERLESS: Final[Backend] = "serverless"
GPU_CONTAINER: Final[Backend] = "gpu-container"
LOCAL: Final[Backend] = "local"
ALL: Final[tuple[Backend, ...]] = (SERVERLESS, GPU_CONTAINER, LOCAL)

NOTHING: Final[Mapping[Any, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The operator's thresholds: `F` in requests per second, `D` in bytes."""

    F: float = 50.0
    D: int = 262_144


class Features(NamedTuple):
    """Features of a request.

    Attributes:
        model: name of its model.
        f_t: requests per second of this model at the time of the request.
        r_d: bytes of the input data.
        time_left: seconds until its deadline.
        backends: where the model may run.
        limits: by backend, the largest data in bytes that the model takes there.
        allow: the only backends the producer allows; None allows all.
        excluded: backends where an earlier attempt failed.
        batch: whether it is backfill, which takes free slots only.
        max_wait: longest wait in a queue in seconds, beside the deadline.
    """

    model: str
    f_t: float
    r_d: int
    time_left: float
    backends: tuple[Backend, ...] = ALL
    limits: Mapping[Backend, int] = NOTHING
    allow: tuple[Backend, ...] | None = None
    excluded: tuple[Backend, ...] = ()
    batch: bool = False
    max_wait: float = inf


class BackendState(NamedTuple):
    """State of one backend.

    Attributes:
        down: why it cannot be used at all; None when it can.
        free: requests that it could start at once.
        models: deployed models; None where any model is.
        max_payload: largest data in bytes that it takes; None without limit.
        best_cases: by model, seconds of its fastest recent answer there.
        busy: requests in flight there.
        rate: best recent throughput when full, requests per second; None where not known.
    """

    down: str | None = None
    free: int = 0
    models: frozenset[str] | None = None
    max_payload: int | None = None
    best_cases: Mapping[str, float] = NOTHING
    busy: int = 0
    rate: float | None = None


State = Mapping[Backend, BackendState]
"""State by backend; a missing backend has never reported."""


class Placement(NamedTuple):
    """Decision of a policy, and its reasons.

    Attributes:
        backend: where the request goes; None when no backend can take it now.
        rule: the branch that decided; 0 when none did.
        s_f: whether a local server was available.
        s_d: whether a GPU container was available.
        refused: by backend, why it was no candidate.
        infeasible: whether no refusal can pass with time, so that a hold would not help.
    """

    backend: Backend | None
    rule: int
    s_f: bool = False
    s_d: bool = False
    refused: Mapping[str, str] = NOTHING
    infeasible: bool = False


Policy = Callable[[Features, State, Thresholds], Placement]
