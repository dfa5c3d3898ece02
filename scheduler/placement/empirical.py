"""The empirical dynamic placing algorithm.

Source: Ching, Guan, Xu, Hu, "StraightLine", arXiv 2407.18148, algorithm 1. The README of this package lists
the choices that the paper leaves open.
"""

from typing import Final

from scheduler.placement.feasibility import infeasible, permanent_refusal, transient_refusal
from scheduler.placement.model import (
    ALL,
    GPU_CONTAINER,
    LOCAL,
    SERVERLESS,
    Features,
    Placement,
    State,
    Thresholds,
)

NAME: Final = "empirical"


def place(features: Features, state: State, thresholds: Thresholds) -> Placement:
    """Place one request by the first branch whose condition holds and whose backend can take it.

    1. `f_t > F` and `r_d < D`: serverless (many small requests: elastic).
    2. `r_d >= D`: GPU container (large data; tolerates a longer response).
    3. a local server is available: local.
    4. a GPU container is available: GPU container.
    5. otherwise: serverless.

    Backfill (`features.batch`) takes free slots only: branch 2 then needs an available container, and branch
    5 is for requests that neither a local server nor a container can take now, busy or not.
    """
    refused: dict[str, str] = {}
    for backend in ALL:
        why = permanent_refusal(backend, features) or transient_refusal(features, state.get(backend))
        if why is not None:
            refused[backend] = why
    s_f = LOCAL not in refused and state[LOCAL].free > 0
    s_d = GPU_CONTAINER not in refused and state[GPU_CONTAINER].free > 0
    container = s_d if features.batch else GPU_CONTAINER not in refused
    large = features.r_d >= thresholds.D

    if features.f_t > thresholds.F and not large and not features.batch and SERVERLESS not in refused:
        backend, rule = SERVERLESS, 1
    elif large and container:
        backend, rule = GPU_CONTAINER, 2
    elif s_f:
        backend, rule = LOCAL, 3
    elif s_d:
        backend, rule = GPU_CONTAINER, 4
    elif SERVERLESS not in refused and not (features.batch and _has_slot_to_wait_for(refused)):
        backend, rule = SERVERLESS, 5
    else:
        _add_busy_reasons(refused)
        return Placement(None, 0, s_f, s_d, refused, infeasible(features, state))
    return Placement(backend, rule, s_f, s_d, refused)


def _has_slot_to_wait_for(refused: dict[str, str]) -> bool:
    """Whether a slot may become free for a batch request."""
    return LOCAL not in refused or GPU_CONTAINER not in refused


def _add_busy_reasons(refused: dict[str, str]) -> None:
    for backend in (LOCAL, GPU_CONTAINER):
        refused.setdefault(backend, "no free slot")
    refused.setdefault(SERVERLESS, "backfill waits for a local or container slot")
