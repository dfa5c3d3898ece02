"""Placing and holding: from a case on the desk to a placement message, a hold, or an ending. No clock."""

from collections.abc import Hashable
from typing import Final

from scheduler import messages
from scheduler.breakers import Breakers
from scheduler.closing import Closer
from scheduler.coalescing import Coalescer
from scheduler.deliveries import Dues
from scheduler.holds import Case, Holds
from scheduler.leases import leases
from scheduler.placement import empirical
from scheduler.placement.model import Features, Placement, Policy
from scheduler.pools import Pools
from scheduler.settings import Settings
from straightline.contracts import Lease, Reason

HOLD_DELAY: Final = 1_000
"""Milliseconds that a held request waits in the broker before it is tried again."""
LONGEST_HOLD: Final = 60.0
"""Seconds after which a request held in memory goes to the broker, so that no consumer time-out is met."""


class Placer:
    """Applies a policy to cases, and keeps those that must wait.

    Args:
        settings: thresholds and bounds.
        pools: what is free.
        breakers: what fails.
        dues: where messages go.
        closer: ends what no backend can ever take.
        origin: who places, for the task messages.
        policy: how to place.
        policy_name: what the reasons call it.
    """

    def __init__(
        self,
        settings: Settings,
        pools: Pools,
        breakers: Breakers,
        dues: Dues,
        closer: Closer,
        *,
        origin: str,
        policy: Policy = empirical.place,
        policy_name: str = empirical.NAME,
    ) -> None:
        self._thresholds = settings.thresholds
        self._pools = pools
        self._breakers = breakers
        self._dues = dues
        self._closer = closer
        self._origin = origin
        self._grace = settings.lease_grace
        self._policy = policy
        self._policy_name = policy_name
        self._coalescer = Coalescer(most=settings.coalesce, most_bytes=settings.coalesce_bytes)
        self._holds = {
            "interactive": Holds(settings.hold_window),
            "batch": Holds(settings.batch_prefetch),
        }

    @property
    def held(self) -> int:
        """How many requests wait in memory."""
        return sum(len(holds) for holds in self._holds.values())

    def enter(self, case: Case, now: float) -> None:
        """Place a request, or hold it; its delivery stays open until the one or the other is safe."""
        case.delivery.open += 1
        if self._try_place(case, now):
            return
        case.since = now
        case.ticket.held_since = case.ticket.held_since or now
        holds = self._holds[case.request.class_]
        if holds.full:
            self._to_broker(case)
        else:
            holds.add(case)

    def release(self, now: float) -> None:
        """Something became free: place what waits, oldest first."""
        if not self.held:
            return
        slowest = max(state.best_case for state in self._pools.state.values())
        for holds in self._holds.values():
            holds.release(
                lambda case: self._try_place(case, now),
                lambda case: self._kind(case, hurried=case.ticket.deadline - now < slowest),
            )

    def tick(self, now: float) -> None:
        """End the holds whose deadline has passed, and move long ones to the broker."""
        for holds in self._holds.values():
            for case in holds.drop(lambda case: case.ticket.deadline <= now):
                self._closer.expire(case, now)
                self._dues.close(case.delivery)
            for case in holds.drop(lambda case: now - case.since > LONGEST_HOLD):
                self._to_broker(case)

    def flush(self) -> None:
        """Send what was placed since the last flush, joined, and tell the ledger of all of it."""
        groups = self._coalescer.flush()
        placed: list[Lease] = []
        for group in groups:
            placement = messages.placement(group, origin=self._origin)
            self._dues.send(placement)
            placed += leases(group, placement.message_id, grace=self._grace)
        causes = [cause for group in groups for cause in group.causes]
        if placed:
            self._dues.send(messages.leased(placed, causes))
        for cause in causes:
            self._dues.close(cause)

    def take_held(self, request_id: str) -> list[Case]:
        """Take a request out of what is held in memory."""
        return [
            case
            for holds in self._holds.values()
            for case in holds.drop(lambda case: case.request.id == request_id)
        ]

    def drop_held(self) -> list[Case]:
        """Forget and return all holds: the broker delivers them again."""
        return [case for holds in self._holds.values() for case in holds.drop(lambda _: True)]

    def _kind(self, case: Case, *, hurried: bool) -> Hashable:
        """Requests of one kind are refused for the same reasons, but for their size."""
        ticket = case.ticket
        large = ticket.r_d >= self._thresholds.D
        return (case.spec.name, ticket.version, case.request.allow, *ticket.excluded, large, hurried)

    def _to_broker(self, case: Case) -> None:
        self._dues.send(messages.delayed(case.ticket, [case.delivery], HOLD_DELAY))
        self._dues.close(case.delivery)

    def _try_place(self, case: Case, now: float) -> bool:
        """Place a request, or end it where waiting is in vain; False where it must wait."""
        ticket = case.ticket
        features = Features(
            model=case.spec.name,
            f_t=case.f_t,
            r_d=ticket.r_d,
            time_left=ticket.deadline - now,
            backends=case.spec.backends,
            limits=case.spec.max_payload,  # type: ignore[arg-type]  # a Backend is a str
            allow=case.request.allow,
            excluded=tuple(ticket.excluded),
            batch=case.request.class_ == "batch",
        )
        state = self._breakers.seen(self._pools.state, case.spec.name, now)
        placement = self._policy(features, state, self._thresholds)
        if placement.backend is None:
            if placement.hopeless:
                self._hopeless(case, placement, now)
            return placement.hopeless
        ticket.backend = placement.backend  # type: ignore[assignment]  # policies know backends as str
        ticket.placed_at = now
        ticket.reason = self._reason(features, placement)
        self._pools.placed(placement.backend, case.spec.name, case.request.id, now, ticket.deadline)
        self._breakers.placed(placement.backend, case.spec.name, case.request.id, now)
        self._coalescer.add(
            case.spec.name,
            placement.backend,
            ticket,
            case.request,
            case.delivery,
            batchable=case.spec.batchable,
        )
        return True

    def _reason(self, features: Features, placement: Placement) -> Reason:
        return Reason(
            policy=self._policy_name,
            rule=placement.rule,
            f_t=round(features.f_t, 3),
            F=self._thresholds.F,
            r_d=features.r_d,
            D=self._thresholds.D,
            s_f=placement.s_f,
            s_d=placement.s_d,
            refused=dict(placement.refused),
        )

    def _hopeless(self, case: Case, placement: Placement, now: float) -> None:
        reasons = "; ".join(f"{backend}: {why}" for backend, why in placement.refused.items())
        self._closer.end(
            case,
            now,
            state="failed" if case.ticket.attempts else "rejected",
            error_class="no_backend",
            error=f"no backend can take it: {reasons}",
        )
        self._dues.close(case.delivery)
