"""Asks the placement policy where a request can go now, or why it is held."""

from collections.abc import Hashable, Mapping
from math import inf
from typing import Final

from scheduler.dispatch.hold_queue import HoldQueue
from scheduler.feedback.backend_state import BackendStates
from scheduler.feedback.breakers import Breakers
from scheduler.feedback.retries import suspect
from scheduler.lifecycle import PendingRequest
from scheduler.placement import empirical
from scheduler.placement.budget import RetryBudget
from scheduler.placement.feasibility import only_excluded_left
from scheduler.placement.model import Features, Placement, State, Thresholds
from scheduler.placement.saturation import Limits, Saturated, saturated
from straightline.contracts import Reason
from straightline.names import Backend

RETRY_BUDGET_SPENT: Final = "a backend can take it, but its model's retries are spent for some seconds"
BATCH_RESTS: Final = "a backend can take it, but batch work rests beside interactive requests"
BATCH_SHARE_USED: Final = (
    "a backend can take it, but batch work has all the slots that it may have (STRAIGHTLINE_BACKFILL_SHARE)"
)
PROBE_YIELDED: Final = "a backend could take it, but fails: other requests try first whether it has recovered"
"""Reasons, for people, why a request is held although a backend can take it."""


Decision = tuple[Features, Placement]
"""A placement, and the features that it rests on."""


class PlacementDecider:
    """Combines the policy with the retry budget, the breakers and the batch slots.

    Args:
        thresholds: `F` and `D`.
        limits: bounds for new requests.
        backends: free slots.
        breakers: failing backends and models.
        budget: retries of each model.
        holds: held requests, one of which may probe a failing backend instead.
    """

    def __init__(
        self,
        *,
        thresholds: Thresholds,
        limits: Limits,
        backends: BackendStates,
        breakers: Breakers,
        budget: RetryBudget,
        holds: HoldQueue,
    ) -> None:
        self._thresholds = thresholds
        self._limits = limits
        self._backends = backends
        self._breakers = breakers
        self._budget = budget
        self._holds = holds

    def decide(self, pending: PendingRequest, now: float) -> Decision | None:
        """Return where a request goes, or why nowhere; None where it must wait whatever the policy says."""
        if pending.ticket.attempts and self._budget.spent(pending.spec.name, now):
            return None
        features = features_of(pending, now)
        state = self._state(pending, now)
        placement = empirical.place(features, state, self._thresholds)
        if placement.backend is None and only_excluded_left(features, state):
            features = features._replace(excluded=())
            placement = empirical.place(features, state, self._thresholds)
        if placement.backend is not None and self._yields_probe(pending, placement.backend):
            return None
        return features, placement

    def held_reason(self, pending: PendingRequest, now: float) -> str:
        """Return why a request is held; empty where it is not held, or only waits for its turn."""
        if pending.ticket.held_since is None:
            return ""
        features = features_of(pending, now)._replace(time_left=inf, max_wait=inf)
        model = pending.spec.name
        state = self._breakers.apply_to(self._backends.state, model, now)
        placement = empirical.place(features, state, self._thresholds)
        if placement.backend is None:
            return describe_refusals(placement.refused)
        if pending.ticket.attempts and self._budget.spent(model, now):
            return RETRY_BUDGET_SPENT
        placement = empirical.place(features, self._state(pending, now), self._thresholds)
        if placement.backend is None:  # a backend takes requests, and none takes batch work
            return BATCH_SHARE_USED if self._backends.batch_wait(now) == 0.0 else BATCH_RESTS
        return PROBE_YIELDED if self._yields_probe(pending, placement.backend) else ""

    def overload(self, pending: PendingRequest, now: float) -> Saturated | None:
        """Return why a new request would not be answered in time; None where it may be held."""
        model = pending.spec.name
        return saturated(
            features_of(pending, now),
            self._breakers.apply_to(self._backends.state, model, now),
            self._limits,
            held=self._holds.total,
            before=self._holds.ahead_of(model),
        )

    def hold_key(self, pending: PendingRequest) -> tuple[Hashable, ...]:
        """Return the FIFO key: such requests are refused for the same reasons, beside size and deadline."""
        ticket = pending.ticket
        large = ticket.r_d >= self._thresholds.D
        return (
            pending.spec.name,
            ticket.version,
            pending.request.allow,
            *ticket.excluded,
            large,
            bool(ticket.attempts),
            suspect(ticket.attempts),
        )

    def reason(self, decision: Decision, *, probe: bool) -> Reason:
        """Return the reason that travels with a placed request."""
        features, placement = decision
        return Reason(
            policy=empirical.NAME,
            rule=placement.rule,
            f_t=round(features.f_t, 3),
            F=self._thresholds.F,
            r_d=features.r_d,
            D=self._thresholds.D,
            s_f=placement.s_f,
            s_d=placement.s_d,
            refused=dict(placement.refused),
            probe=probe,
        )

    def _state(self, pending: PendingRequest, now: float) -> State:
        """Return the state of the backends as a request may use them."""
        model = pending.spec.name
        state: State = self._backends.state
        if pending.request.class_ == "batch":
            state = self._backends.for_batch((model, pending.ticket.version), now)
        return self._breakers.apply_to(state, model, now)

    def _yields_probe(self, pending: PendingRequest, backend: Backend) -> bool:
        """Whether a request leaves the probe of a failing backend to others: it may be the cause itself."""
        if not suspect(pending.ticket.attempts) or self._breakers.closed(backend, pending.spec.name):
            return False

        def unsuspected(other: PendingRequest) -> bool:
            allowed = backend in (other.request.allow or other.spec.backends)
            there = allowed and other.spec.name == pending.spec.name and backend not in other.ticket.excluded
            return there and not suspect(other.ticket.attempts)

        return self._holds.any(unsuspected)


def features_of(pending: PendingRequest, now: float) -> Features:
    """Return the features of a request that a policy sees."""
    ticket = pending.ticket
    return Features(
        model=pending.spec.name,
        f_t=pending.f_t,
        r_d=ticket.r_d,
        time_left=ticket.deadline - now,
        backends=pending.spec.backends,
        limits=pending.spec.max_payload,
        allow=pending.request.allow,
        excluded=tuple(ticket.excluded),
        batch=pending.request.class_ == "batch",
        max_wait=pending.max_wait,
    )


def describe_refusals(refused: Mapping[str, str]) -> str:
    """Return the refusals of all backends in one line."""
    return "; ".join(f"{backend}: {why}" for backend, why in refused.items())
