"""Early rejection of a request that would not be answered in time."""

from dataclasses import dataclass
from math import ceil
from typing import Final

from scheduler.placement.feasibility import permanent_refusal, transient_refusal
from scheduler.placement.model import ALL, Features, State

MAX_RETRY_AFTER_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds above which a new interactive request is rejected.

    Attributes:
        most_held: number of held requests.
        longest_wait: expected wait in seconds; None leaves it to the deadline of the request.
    """

    most_held: int = 250_000
    longest_wait: float | None = None


@dataclass(frozen=True, slots=True)
class Saturated:
    """The request would not be answered in time.

    Attributes:
        why: a sentence for people.
        retry_after: seconds after which such a request has a better chance.
    """

    why: str
    retry_after: float


def saturated(
    features: Features, state: State, limits: Limits, *, held: int, before: int
) -> Saturated | None:
    """Judge a request that no backend can take now; return None where it may be held.

    The wait is estimated from the requests in flight and held, and from the best recent throughput of the
    backends that could take the request. If one of these is not measured there is no estimate: a backlog that
    is drained after an outage finds no measurement, and is accepted.

    Args:
        features: features of the request; `max_wait` bounds its wait beside the deadline.
        state: state of the backends.
        limits: the operator's bounds.
        held: number of held requests, of all models.
        before: held requests that certainly come before this one.
    """
    if held >= limits.most_held:
        return Saturated(f"{held} requests are held, the maximum", 30.0)
    ahead, rate = before, 0.0
    for backend in ALL:
        load = state.get(backend)
        if (
            load is None
            or permanent_refusal(backend, features)
            or transient_refusal(features, load._replace(rate=None))
        ):
            continue
        if load.rate is None:
            return None
        ahead += load.busy
        rate += load.rate
    max_wait = min(features.time_left, features.max_wait)
    if not rate or ahead <= max_wait * rate:
        return None
    wait = ahead / rate
    return Saturated(
        f"{ahead} requests wait and {rate:.1f}/s are answered: it would take {wait:.1f} s, "
        f"and this request has {max_wait:.1f} s",
        float(min(MAX_RETRY_AFTER_S, max(1, ceil(wait - max_wait)))),
    )
