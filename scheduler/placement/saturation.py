"""Whether a request would wait in vain: said at once, it is better news than at its deadline. Pure."""

from dataclasses import dataclass, replace
from math import ceil
from typing import Final

from scheduler.placement.feasibility import permanent_refusal, transient_refusal
from scheduler.placement.model import ALL, Features, State

MAX_RETRY_AFTER_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a newly arrived interactive request may find before it is refused.

    Attributes:
        most_held: requests that are held.
        longest_wait: seconds that it would wait; None leaves it to the request's own deadline.
    """

    most_held: int = 250_000
    longest_wait: float | None = None


@dataclass(frozen=True, slots=True)
class Saturated:
    """It would wait in vain.

    Attributes:
        why: a sentence for people.
        retry_after: seconds after which a request like it may do better.
    """

    why: str
    retry_after: float


def saturated(
    features: Features, state: State, limits: Limits, *, held: int, before: int
) -> Saturated | None:
    """Judge a request that no backend can take now; None where it may be held with hope.

    Its wait is estimated from what is on its way and held, and from what the backends that could take it
    have answered at their best lately. Where that is not known of one of them, nothing is estimated: a
    backlog that is drained after an outage finds no measurement, and is taken.

    Args:
        features: of the request; `patience` bounds its wait beside its deadline.
        state: of the backends.
        limits: the operator's bounds.
        held: requests that are held, of all models.
        before: those of them that surely come before this one.
    """
    if held >= limits.most_held:
        return Saturated(f"{held} requests are held, the most there may be", 30.0)
    ahead, rate = before, 0.0
    for backend in ALL:
        load = state.get(backend)
        if (
            load is None
            or permanent_refusal(backend, features)
            or transient_refusal(features, replace(load, rate=None))
        ):
            continue
        if load.rate is None:
            return None
        ahead += load.busy
        rate += load.rate
    patience = min(features.time_left, features.max_wait)
    if not rate or ahead <= patience * rate:
        return None
    wait = ahead / rate
    return Saturated(
        f"{ahead} requests wait and {rate:.1f}/s are answered: it would take {wait:.1f} s, "
        f"and this request has {patience:.1f} s",
        float(min(MAX_RETRY_AFTER_S, max(1, ceil(wait - patience)))),
    )
