"""Placing and holding: from a case on the desk to a placement message, a hold, or an ending. No clock."""

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import replace
from math import inf
from typing import Final

from scheduler.dispatch.coalescing import Coalescer, Group
from scheduler.dispatch.delay_index import Delayed, Waiting
from scheduler.dispatch.hold_queue import Case, Holds
from scheduler.dispatch.leases import leases
from scheduler.effects import Delivery, Dues
from scheduler.feedback import retries
from scheduler.feedback.backend_state import Pools, Trail
from scheduler.feedback.breakers import Breakers
from scheduler.output import messages
from scheduler.output.outcome_emitter import Closer
from scheduler.placement import empirical
from scheduler.placement.budget import RetryBudget
from scheduler.placement.feasibility import stranded
from scheduler.placement.model import Features, Placement, Policy, State
from scheduler.placement.saturation import saturated
from scheduler.settings import Settings
from straightline import names
from straightline.contracts import Lease, Reason, Request, Ticket

HOLD_DELAYS: Final = ((1_000, 1_000), (10_000, 5_000))
"""Up to so many waiting in the broker, the milliseconds until each is tried again."""
LONG_HOLD_DELAY: Final = 30_000
"""Milliseconds where there are more: all of them must be turned over in that time."""
LONGEST_HOLD: Final = 60.0
"""Seconds after which a request held in memory goes to the broker, so that no consumer time-out is met."""

RETRIES_SPENT: Final = "a backend can take it, but its model's retries are spent for some seconds"
RESTING: Final = "a backend can take it, but batch work rests beside interactive requests"
SHARED: Final = (
    "a backend can take it, but batch work has all the slots that it may have (STRAIGHTLINE_BACKFILL_SHARE)"
)
SPARED: Final = "a backend could take it, but fails: other requests try first whether it has recovered"
"""Why a request is held that a backend can take, for people."""


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
        self._budget = RetryBudget(settings.allowance)
        self._limits = settings.limits
        self._patience = settings.longest_wait or inf
        self._untold: list[tuple[Group, str]] = []
        self._delayed = Delayed()
        self._away: Counter[str] = Counter()  # held in the broker, of each model, as far as is known here
        self._holds = {
            "interactive": Holds(settings.hold_window),
            "batch": Holds(settings.batch_prefetch),
        }

    @property
    def held(self) -> int:
        """How many requests wait in memory."""
        return sum(len(holds) for holds in self._holds.values())

    @property
    def untold(self) -> bool:
        """Whether the ledger is still to be told of placements that were sent."""
        return bool(self._untold)

    def enter(self, case: Case, now: float, *, fresh: bool = False) -> None:
        """Place a request, or hold it; its delivery stays open until the one or the other is safe.

        Args:
            case: the request.
            now: seconds since the epoch.
            fresh: whether it has just come from its producer: then it may also be refused, where it would
                wait in vain. What was taken once is held until its deadline.
        """
        case.delivery.open += 1
        holds = self._holds[case.request.class_]
        refusable = fresh and case.request.class_ == "interactive"
        if refusable:
            case.patience = self._patience
        waits = False
        if len(holds):
            case.kind = self._kind(case)
            waits = holds.older(case)
        if not waits and self._try_place(case, now):
            return
        if refusable and self._refused(case, now):
            return
        case.patience = inf
        case.kind = case.kind or self._kind(case)
        case.since = now
        case.ticket.held_since = case.ticket.held_since or now
        for pushed_out in holds.add(case):
            self._to_broker(pushed_out, now)

    def place_now(self, case: Case, now: float) -> bool:
        """Place a request whose delivery is open otherwise; False where it must wait."""
        case.delivery.open += 1
        if self._try_place(case, now):
            return True
        case.delivery.open -= 1
        return False

    def put_off(self, request: Request, ticket: Ticket, delivery: Delivery, now: float) -> None:
        """Hold a request in the broker: it comes back after a while."""
        away = self._away.total()
        delay = next((delay for most, delay in HOLD_DELAYS if away < most), LONG_HOLD_DELAY)
        delay = retries.fitting(delay, seconds=ticket.deadline - now) or names.DELAYS_MS[0]
        self._away[request.model] += 1
        self.delay(request, ticket, delivery, delay)

    def delay(self, request: Request, ticket: Ticket, delivery: Delivery, milliseconds: int) -> None:
        """Send a request to a delay queue."""
        self._delayed.add(request, ticket)
        self._dues.send(messages.delayed(ticket, [delivery], milliseconds))

    def came_back(self, request: Request, ticket: Ticket) -> None:
        """A request has come out of a delay queue."""
        self._delayed.take(request.id)
        if ticket.held_since is not None and self._away[request.model] > 0:
            self._away[request.model] -= 1

    def take_delayed(self, request_id: str) -> Waiting | None:
        """Return what waits in a delay queue, without its data; its message comes back all the same."""
        return self._delayed.take(request_id)

    def release(self, now: float) -> None:
        """Something became free: place what waits, oldest first."""
        if not self.held:
            return
        states = self._pools.state.values()

        def hurried(case: Case) -> bool:
            left = case.ticket.deadline - now
            return any(left < state.best_cases.get(case.spec.name, 0.0) for state in states)

        for holds in self._holds.values():
            holds.release(
                lambda case: self._try_place(case, now),
                lambda case: (case.kind, hurried(case)),
            )

    def rest(self, now: float) -> float | None:
        """Return seconds until batch work that waits may be released; None where none waits for a time."""
        wait = self._pools.batch_wait(now) if len(self._holds["batch"]) else 0.0
        return wait if 0.0 < wait < inf else None

    def tick(self, now: float) -> None:
        """End the holds whose deadline has passed, and move long ones to the broker."""
        for holds in self._holds.values():
            for case in holds.drop(lambda case: case.ticket.deadline <= now):
                self._closer.expire(case, now, self.why_held(case, now))
                self._dues.close(case.delivery)
            for case in holds.drop(lambda case: now - case.since > LONGEST_HOLD):
                self._to_broker(case, now)

    def flush(self) -> None:
        """Send what was placed since the last flush, joined; its causes stay open until `tell_ledger`."""
        self._pools.sent()
        for group in self._coalescer.flush():
            placement = messages.placement(group, origin=self._origin)
            self._dues.send(placement)
            self._untold.append((group, placement.message_id))

    def tell_ledger(self) -> None:
        """Tell the ledger of all that was flushed since the last time, in one message."""
        untold, self._untold = self._untold, []
        if not untold:
            return
        placed: list[Lease] = []
        for group, task_id in untold:
            placed += leases(group, task_id, grace=self._grace)
        causes = [cause for group, _ in untold for cause in group.causes]
        self._dues.send(messages.leased(placed, causes))
        for cause in causes:
            self._dues.close(cause)

    def why_held(self, case: Case, now: float) -> str:
        """Return why a request is held; empty where it is not, or waits for its turn alone."""
        if case.ticket.held_since is None:
            return ""
        features = replace(self._features(case, now), time_left=inf, patience=inf)
        model = case.spec.name
        state = self._breakers.seen(self._pools.state, model, now)
        placement = self._policy(features, state, self._thresholds)
        if placement.backend is None:
            return _told(placement.refused)
        if case.ticket.attempts and self._budget.spent(model, now):
            return RETRIES_SPENT
        placement = self._policy(features, self._state(case, now), self._thresholds)
        if placement.backend is None:  # one takes requests, and none takes batch work
            return SHARED if self._pools.batch_wait(now) == 0.0 else RESTING
        return SPARED if self._spared(case, placement.backend) else ""

    def held_here(self, request_id: str) -> Case | None:
        """Return a request that is held in memory; None where it is not."""
        found = (holds.find(request_id) for holds in self._holds.values())
        return next((case for case in found if case is not None), None)

    def delayed(self, request_id: str) -> Waiting | None:
        """Return what waits in a delay queue, without its data; None where it is not known to."""
        return self._delayed.find(request_id)

    def take_held(self, request_id: str) -> list[Case]:
        """Take a request out of what is held in memory."""
        return [
            case
            for holds in self._holds.values()
            for case in holds.drop(lambda case: case.request.id == request_id)
        ]

    def drop_held(self) -> list[Case]:
        """Forget and return all holds: the broker delivers them again."""
        self._away.clear()
        self._delayed.clear()
        return [case for holds in self._holds.values() for case in holds.drop(lambda _: True)]

    def _kind(self, case: Case) -> tuple[Hashable, ...]:
        """Requests of one kind are refused for the same reasons, but for their size and their haste."""
        ticket = case.ticket
        large = ticket.r_d >= self._thresholds.D
        retry, suspect = bool(ticket.attempts), retries.suspect(ticket.attempts)
        return (case.spec.name, ticket.version, case.request.allow, *ticket.excluded, large, retry, suspect)

    def _to_broker(self, case: Case, now: float) -> None:
        self.put_off(case.request, case.ticket, case.delivery, now)
        self._dues.close(case.delivery)

    def _try_place(self, case: Case, now: float) -> bool:
        """Place a request, or end it where waiting is in vain; False where it must wait."""
        ticket = case.ticket
        model = case.spec.name
        retry = bool(ticket.attempts)
        if retry and self._budget.spent(model, now):
            return False
        features = self._features(case, now)
        state = self._state(case, now)
        placement = self._policy(features, state, self._thresholds)
        if placement.backend is None and stranded(features, state):
            features = replace(features, excluded=())
            placement = self._policy(features, state, self._thresholds)
        if placement.backend is None:
            if placement.hopeless:
                self._hopeless(case, placement, now)
                return True
            return False
        backend = placement.backend
        if self._spared(case, backend):
            return False
        ticket.backend = backend  # type: ignore[assignment]  # policies know backends as str
        ticket.placed_at = now
        probe = self._breakers.placed(backend, model, case.request.id, now)
        ticket.reason = self._reason(features, placement, probe=probe)
        self._budget.placed(model, now, retry=retry)
        trail = Trail(ticket.version, ticket.reason, ticket.attempts)
        lane = None
        # What may have brought down a call takes no others with it.
        batchable = case.spec.batchable and not probe and not retries.suspect(ticket.attempts)
        if case.request.class_ == "batch":
            kind = (model, ticket.version)
            lane = self._pools.batch_placed(
                backend, kind, case.request.id, now, ticket.deadline, alone=not batchable, trail=trail
            )
        else:
            self._pools.placed(backend, model, case.request.id, now, ticket.deadline, trail=trail)
        self._coalescer.add(
            model, backend, ticket, case.request, case.delivery, lane=lane, batchable=batchable
        )
        return True

    def _state(self, case: Case, now: float) -> State:
        """Return the state of the backends as a request may use them."""
        model = case.spec.name
        if case.request.class_ == "batch":
            return self._breakers.seen(self._pools.for_batch((model, case.ticket.version), now), model, now)
        return self._breakers.seen(self._pools.state, model, now)

    def _spared(self, case: Case, backend: str) -> bool:
        """Whether a request leaves it to others to try a backend that fails: it may be what fails there."""
        if not retries.suspect(case.ticket.attempts) or self._breakers.closed(backend, case.spec.name):
            return False

        def innocent(other: Case) -> bool:
            allowed = backend in (other.request.allow or other.spec.backends)
            there = allowed and other.spec.name == case.spec.name and backend not in other.ticket.excluded
            return there and not retries.suspect(other.ticket.attempts)

        return any(holds.any(innocent) for holds in self._holds.values())

    def _features(self, case: Case, now: float) -> Features:
        ticket = case.ticket
        return Features(
            model=case.spec.name,
            f_t=case.f_t,
            r_d=ticket.r_d,
            time_left=ticket.deadline - now,
            backends=case.spec.backends,
            limits=case.spec.max_payload,  # type: ignore[arg-type]  # a Backend is a str
            allow=case.request.allow,
            excluded=tuple(ticket.excluded),
            batch=case.request.class_ == "batch",
            patience=case.patience,
        )

    def _refused(self, case: Case, now: float) -> bool:
        """Reject a new request that would wait in vain; False where it may be held."""
        model = case.spec.name
        why = saturated(
            self._features(case, now),
            self._breakers.seen(self._pools.state, model, now),
            self._limits,
            held=self.held + self._away.total(),
            before=self._holds["interactive"].count(model) + self._away[model],
        )
        if why is None:
            return False
        self._closer.saturated(case, why, now)
        self._dues.close(case.delivery)
        return True

    def _reason(self, features: Features, placement: Placement, *, probe: bool) -> Reason:
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
            probe=probe,
        )

    def _hopeless(self, case: Case, placement: Placement, now: float) -> None:
        self._closer.end(
            case,
            now,
            state="failed" if case.ticket.attempts else "rejected",
            error_class="no_backend",
            error=f"no backend can take it: {_told(placement.refused)}",
        )
        self._dues.close(case.delivery)


def _told(refused: Mapping[str, str]) -> str:
    return "; ".join(f"{backend}: {why}" for backend, why in refused.items())
