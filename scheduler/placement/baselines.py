"""Baseline policies: a single backend, and round robin."""

from scheduler.placement.feasibility import infeasible, permanent_refusal, transient_refusal
from scheduler.placement.model import ALL, Features, Placement, Policy, State, Thresholds
from straightline.names import Backend


def single(backend: Backend) -> Policy:
    """Return the policy that sends all requests to `backend`, and holds those that it cannot take."""

    def place(features: Features, state: State, thresholds: Thresholds) -> Placement:
        del thresholds
        return _first((backend,), features, state)

    return place


def round_robin() -> Policy:
    """Return a policy that takes the backends in turn and skips those that cannot take the request."""
    turn = 0

    def place(features: Features, state: State, thresholds: Thresholds) -> Placement:
        nonlocal turn
        del thresholds
        order = (*ALL[turn:], *ALL[:turn])
        turn = (turn + 1) % len(ALL)
        return _first(order, features, state)

    return place


def _first(order: tuple[Backend, ...], features: Features, state: State) -> Placement:
    refused: dict[str, str] = {}
    for backend in order:
        why = permanent_refusal(backend, features) or transient_refusal(features, state.get(backend))
        if why is None:
            return Placement(backend, 1, refused=refused)
        refused[backend] = why
    return Placement(None, 0, refused=refused, infeasible=infeasible(features, state, order))
