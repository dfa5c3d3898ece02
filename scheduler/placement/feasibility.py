"""Feasibility: whether a backend could take a request at all, busy or not."""

from collections.abc import Iterable

from scheduler.placement.model import ALL, BackendState, Features, State
from straightline.names import Backend


def permanent_refusal(backend: Backend, features: Features) -> str | None:
    """Return why a backend can never take the request; None where it might."""
    if backend not in features.backends:
        return f"model {features.model} is not made for it, or not deployed there"
    if features.allow is not None and backend not in features.allow:
        return "not in the request's allow list"
    if backend in features.excluded:
        return "an earlier attempt failed there"
    limit = features.limits.get(backend)
    if limit is not None and features.r_d > limit:
        return f"{features.r_d} bytes are over the model's limit of {limit} there"
    return None


def transient_refusal(features: Features, backend: BackendState | None) -> str | None:
    """Return why a backend cannot take the request now; None where it can."""
    if backend is None:
        return "no pool reports"
    if backend.down is not None:
        return backend.down
    if backend.models is not None and features.model not in backend.models:
        return f"model {features.model} is not deployed there"
    if backend.max_payload is not None and features.r_d > backend.max_payload:
        return f"{features.r_d} bytes are over its limit of {backend.max_payload}"
    best_case = backend.best_cases.get(features.model, 0.0)
    if features.time_left < best_case:
        return f"{features.time_left:.3f} s to the deadline, its best case is {best_case:.3f} s"
    return queue_exceeds_deadline(features, backend) if backend.rate is not None else None


def exceeds_payload_limit(features: Features, backend: BackendState | None) -> bool:
    """Whether the data exceeds the limit of a backend that is up, which no wait changes."""
    if backend is None or backend.down is not None or backend.max_payload is None:
        return False
    return features.r_d > backend.max_payload


def infeasible(features: Features, state: State, backends: Iterable[Backend] = ALL) -> bool:
    """Whether no refusal of these backends can pass with time, so that a hold would not help."""
    return all(
        permanent_refusal(name, features) or exceeds_payload_limit(features, state.get(name))
        for name in backends
    )


def queue_exceeds_deadline(features: Features, backend: BackendState) -> str | None:
    """Return why the queue of a backend takes longer than the request can wait; None where it does not."""
    max_wait = min(features.time_left, features.max_wait)
    if backend.rate is None or backend.busy <= max_wait * backend.rate:
        return None
    return f"{backend.busy} wait there and {backend.rate:.1f}/s are answered, it has {max_wait:.1f} s"


def only_excluded_left(features: Features, state: State) -> bool:
    """Whether only excluded backends are up and take the data, so that they may be tried again.

    A request waits for a busy backend, but not for one that is down: that may last beyond the deadline.
    """
    if not features.excluded:
        return False
    others = [state.get(backend) for backend in ALL if permanent_refusal(backend, features) is None]
    return all(
        other is None or other.down is not None or exceeds_payload_limit(features, other) for other in others
    )
