"""Placing and holding: from a case on the desk to a placement message, a hold, or an ending. No clock."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import replace
from math import inf
from typing import Final

from scheduler.dispatch.coalescing import Coalescer, Group
from scheduler.dispatch.delay_index import DelayedRequest, DelayIndex
from scheduler.dispatch.hold_queue import HoldQueue, PendingRequest
from scheduler.dispatch.leases import leases
from scheduler.effects import Delivery, PendingEffects
from scheduler.feedback import retries
from scheduler.feedback.backend_state import BackendStates, PlacementContext
from scheduler.feedback.breakers import Breakers
from scheduler.output import messages
from scheduler.output.outcome_emitter import OutcomeEmitter
from scheduler.placement import empirical
from scheduler.placement.budget import RetryBudget
from scheduler.placement.feasibility import only_excluded_left
from scheduler.placement.model import Features, Placement, Policy, State
from scheduler.placement.saturation import saturated
from scheduler.settings import Settings
from straightline import names
from straightline.contracts import Lease, Reason, Request, Ticket

HOLD_DELAYS_MS: Final = ((1_000, 1_000), (10_000, 5_000))
"""Up to so many waiting in the broker, the milliseconds until each is tried again."""
MAX_HOLD_DELAY_MS: Final = 30_000
"""Milliseconds where there are more: all of them must be turned over in that time."""
MAX_MEMORY_HOLD_S: Final = 60.0
"""Seconds after which a request held in memory goes to the broker, so that no consumer time-out is met."""

RETRY_BUDGET_SPENT: Final = "a backend can take it, but its model's retries are spent for some seconds"
BATCH_RESTS: Final = "a backend can take it, but batch work rests beside interactive requests"
BATCH_SHARE_USED: Final = (
    "a backend can take it, but batch work has all the slots that it may have (STRAIGHTLINE_BACKFILL_SHARE)"
)
PROBE_YIELDED: Final = "a backend could take it, but fails: other requests try first whether it has recovered"
"""Why a request is held that a backend can take, for people."""


class Dispatcher:
    """Applies a policy to cases, and keeps those that must wait.

    Args:
        settings: thresholds and bounds.
        pools: what is free.
        breakers: what fails.
        effects: where messages go.
        emitter: ends what no backend can ever take.
        origin: who places, for the task messages.
        policy: how to place.
        policy_name: what the reasons call it.
    """

    def __init__(
        self,
        settings: Settings,
        pools: BackendStates,
        breakers: Breakers,
        effects: PendingEffects,
        emitter: OutcomeEmitter,
        *,
        origin: str,
        policy: Policy = empirical.place,
        policy_name: str = empirical.NAME,
    ) -> None:
        self._thresholds = settings.thresholds
        self._backends = pools
        self._breakers = breakers
        self._effects = effects
        self._emitter = emitter
        self._origin = origin
        self._grace = settings.lease_grace
        self._policy = policy
        self._policy_name = policy_name
        self._coalescer = Coalescer(most=settings.coalesce, most_bytes=settings.coalesce_bytes)
        self._budget = RetryBudget(settings.allowance)
        self._limits = settings.limits
        self._patience = settings.longest_wait or inf
        self.on_change: Callable[[str, float], None] = lambda _id, _now: None
        """Called with the id of each request that is placed, held or delayed, and when."""
        self._unsent_leases: list[tuple[Group, str]] = []
        self._delayed = DelayIndex()
        self._away: Counter[str] = Counter()  # held in the broker, of each model, as far as is known here
        self._holds = {
            "interactive": HoldQueue(settings.hold_window),
            "batch": HoldQueue(settings.batch_prefetch),
        }

    @property
    def held(self) -> int:
        """How many requests wait in memory."""
        return sum(len(holds) for holds in self._holds.values())

    @property
    def has_unsent_leases(self) -> bool:
        """Whether the ledger is still to be told of placements that were sent."""
        return bool(self._unsent_leases)

    def submit(self, case: PendingRequest, now: float, *, fresh: bool = False) -> None:
        """Place a request, or hold it; its delivery stays open until the one or the other is safe.

        Args:
            case: the request.
            now: seconds since the epoch.
            fresh: whether it has just come from its producer: then it may also be refused, where it would
                wait in vain. What was taken once is held until its deadline.
        """
        case.delivery.pending += 1
        holds = self._holds[case.request.class_]
        refusable = fresh and case.request.class_ == "interactive"
        if refusable:
            case.max_wait = self._patience
        waits = False
        if len(holds):
            case.hold_key = self._hold_key(case)
            waits = holds.older(case)
        if not waits and self._try_place(case, now):
            return
        if refusable and self._refused(case, now):
            return
        case.max_wait = inf
        case.hold_key = case.hold_key or self._hold_key(case)
        case.since = now
        case.ticket.held_since = case.ticket.held_since or now
        self.on_change(case.request.id, now)
        for pushed_out in holds.add(case):
            self._to_broker(pushed_out, now)

    def place_now(self, case: PendingRequest, now: float) -> bool:
        """Place a request whose delivery is open otherwise; False where it must wait."""
        case.delivery.pending += 1
        if self._try_place(case, now):
            return True
        case.delivery.pending -= 1
        return False

    def defer(self, request: Request, ticket: Ticket, delivery: Delivery, now: float) -> None:
        """Hold a request in the broker: it comes back after a while."""
        away = self._away.total()
        delay = next((delay for most, delay in HOLD_DELAYS_MS if away < most), MAX_HOLD_DELAY_MS)
        delay = retries.fit_delay(delay, seconds=ticket.deadline - now) or names.DELAYS_MS[0]
        self._away[request.model] += 1
        self.delay(request, ticket, delivery, delay, now)

    def delay(
        self, request: Request, ticket: Ticket, delivery: Delivery, milliseconds: int, now: float
    ) -> None:
        """Send a request to a delay queue."""
        self._delayed.add(request, ticket)
        self.on_change(request.id, now)
        self._effects.send(messages.delayed(ticket, [delivery], milliseconds))

    def on_return(self, request: Request, ticket: Ticket) -> None:
        """A request has come out of a delay queue."""
        self._delayed.take(request.id)
        if ticket.held_since is not None and self._away[request.model] > 0:
            self._away[request.model] -= 1

    def take_delayed(self, request_id: str) -> DelayedRequest | None:
        """Return what waits in a delay queue, without its data; its message comes back all the same."""
        return self._delayed.take(request_id)

    def release(self, now: float) -> None:
        """Something became free: place what waits, oldest first."""
        if not self.held:
            return
        states = self._backends.state.values()

        def hurried(case: PendingRequest) -> bool:
            left = case.ticket.deadline - now
            return any(left < state.best_cases.get(case.spec.name, 0.0) for state in states)

        for holds in self._holds.values():
            holds.release(
                lambda case: self._try_place(case, now),
                lambda case: (case.hold_key, hurried(case)),
            )

    def batch_wakeup_in(self, now: float) -> float | None:
        """Return seconds until batch work that waits may be released; None where none waits for a time."""
        wait = self._backends.batch_wait(now) if len(self._holds["batch"]) else 0.0
        return wait if 0.0 < wait < inf else None

    def tick(self, now: float) -> None:
        """End the holds whose deadline has passed, and move long ones to the broker."""
        for holds in self._holds.values():
            for case in holds.drop(lambda case: case.ticket.deadline <= now):
                self._emitter.expire(case, now, self.held_reason(case, now))
                self._effects.close(case.delivery)
            for case in holds.drop(lambda case: now - case.since > MAX_MEMORY_HOLD_S):
                self._to_broker(case, now)

    def flush(self) -> None:
        """Send what was placed since the last flush, joined; its causes stay open until `flush_leases`."""
        self._backends.sent()
        for group in self._coalescer.flush():
            placement = messages.placement(group, origin=self._origin)
            self._effects.send(placement)
            self._unsent_leases.append((group, placement.message_id))

    def flush_leases(self) -> None:
        """Tell the ledger of all that was flushed since the last time, in one message."""
        untold, self._unsent_leases = self._unsent_leases, []
        if not untold:
            return
        placed: list[Lease] = []
        for group, task_id in untold:
            placed += leases(group, task_id, grace=self._grace)
        causes = [cause for group, _ in untold for cause in group.causes]
        self._effects.send(messages.leased(placed, causes))
        for cause in causes:
            self._effects.close(cause)

    def held_reason(self, case: PendingRequest, now: float) -> str:
        """Return why a request is held; empty where it is not, or waits for its turn alone."""
        if case.ticket.held_since is None:
            return ""
        features = replace(self._features(case, now), time_left=inf, max_wait=inf)
        model = case.spec.name
        state = self._breakers.apply_to(self._backends.state, model, now)
        placement = self._policy(features, state, self._thresholds)
        if placement.backend is None:
            return _describe(placement.refused)
        if case.ticket.attempts and self._budget.spent(model, now):
            return RETRY_BUDGET_SPENT
        placement = self._policy(features, self._state(case, now), self._thresholds)
        if placement.backend is None:  # one takes requests, and none takes batch work
            return BATCH_SHARE_USED if self._backends.batch_wait(now) == 0.0 else BATCH_RESTS
        return PROBE_YIELDED if self._yields_probe(case, placement.backend) else ""

    def find_held(self, request_id: str) -> PendingRequest | None:
        """Return a request that is held in memory; None where it is not."""
        found = (holds.find(request_id) for holds in self._holds.values())
        return next((case for case in found if case is not None), None)

    def all_held(self) -> Iterator[PendingRequest]:
        """Return the requests that are held in memory, interactive ones first, each class oldest first."""
        for holds in self._holds.values():
            yield from holds

    def delayed(self, request_id: str) -> DelayedRequest | None:
        """Return what waits in a delay queue, without its data; None where it is not known to."""
        return self._delayed.find(request_id)

    def take_held(self, request_id: str) -> list[PendingRequest]:
        """Take a request out of what is held in memory."""
        return [
            case
            for holds in self._holds.values()
            for case in holds.drop(lambda case: case.request.id == request_id)
        ]

    def drop_held(self) -> list[PendingRequest]:
        """Forget and return all holds: the broker delivers them again."""
        self._away.clear()
        self._delayed.clear()
        return [case for holds in self._holds.values() for case in holds.drop(lambda _: True)]

    def _hold_key(self, case: PendingRequest) -> tuple[Hashable, ...]:
        """Requests of one kind are refused for the same reasons, but for their size and their haste."""
        ticket = case.ticket
        large = ticket.r_d >= self._thresholds.D
        retry, suspect = bool(ticket.attempts), retries.suspect(ticket.attempts)
        return (case.spec.name, ticket.version, case.request.allow, *ticket.excluded, large, retry, suspect)

    def _to_broker(self, case: PendingRequest, now: float) -> None:
        self.defer(case.request, case.ticket, case.delivery, now)
        self._effects.close(case.delivery)

    def _try_place(self, case: PendingRequest, now: float) -> bool:
        """Place a request, or end it where waiting is in vain; False where it must wait."""
        ticket = case.ticket
        model = case.spec.name
        retry = bool(ticket.attempts)
        if retry and self._budget.spent(model, now):
            return False
        features = self._features(case, now)
        state = self._state(case, now)
        placement = self._policy(features, state, self._thresholds)
        if placement.backend is None and only_excluded_left(features, state):
            features = replace(features, excluded=())
            placement = self._policy(features, state, self._thresholds)
        if placement.backend is None:
            if placement.infeasible:
                self._fail_infeasible(case, placement, now)
                return True
            return False
        backend = placement.backend
        if self._yields_probe(case, backend):
            return False
        ticket.backend = backend  # type: ignore[assignment]  # policies know backends as str
        ticket.placed_at = now
        probe = self._breakers.placed(backend, model, case.request.id, now)
        ticket.reason = self._reason(features, placement, probe=probe)
        self._budget.placed(model, now, retry=retry)
        trail = PlacementContext(ticket.version, ticket.reason, ticket.attempts)
        lane = None
        # What may have brought down a call takes no others with it.
        batchable = case.spec.batchable and not probe and not retries.suspect(ticket.attempts)
        if case.request.class_ == "batch":
            kind = (model, ticket.version)
            lane = self._backends.batch_placed(
                backend, kind, case.request.id, now, ticket.deadline, alone=not batchable, trail=trail
            )
        else:
            self._backends.placed(backend, model, case.request.id, now, ticket.deadline, trail=trail)
        self.on_change(case.request.id, now)
        self._coalescer.add(
            model, backend, ticket, case.request, case.delivery, lane=lane, batchable=batchable
        )
        return True

    def _state(self, case: PendingRequest, now: float) -> State:
        """Return the state of the backends as a request may use them."""
        model = case.spec.name
        if case.request.class_ == "batch":
            return self._breakers.apply_to(
                self._backends.for_batch((model, case.ticket.version), now), model, now
            )
        return self._breakers.apply_to(self._backends.state, model, now)

    def _yields_probe(self, case: PendingRequest, backend: str) -> bool:
        """Whether a request leaves it to others to try a backend that fails: it may be what fails there."""
        if not retries.suspect(case.ticket.attempts) or self._breakers.closed(backend, case.spec.name):
            return False

        def innocent(other: PendingRequest) -> bool:
            allowed = backend in (other.request.allow or other.spec.backends)
            there = allowed and other.spec.name == case.spec.name and backend not in other.ticket.excluded
            return there and not retries.suspect(other.ticket.attempts)

        return any(holds.any(innocent) for holds in self._holds.values())

    def _features(self, case: PendingRequest, now: float) -> Features:
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
            max_wait=case.max_wait,
        )

    def _refused(self, case: PendingRequest, now: float) -> bool:
        """Reject a new request that would wait in vain; False where it may be held."""
        model = case.spec.name
        why = saturated(
            self._features(case, now),
            self._breakers.apply_to(self._backends.state, model, now),
            self._limits,
            held=self.held + self._away.total(),
            before=self._holds["interactive"].count(model) + self._away[model],
        )
        if why is None:
            return False
        self._emitter.saturated(case, why, now)
        self._effects.close(case.delivery)
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

    def _fail_infeasible(self, case: PendingRequest, placement: Placement, now: float) -> None:
        self._emitter.end(
            case,
            now,
            state="failed" if case.ticket.attempts else "rejected",
            error_class="no_backend",
            error=f"no backend can take it: {_describe(placement.refused)}",
        )
        self._effects.close(case.delivery)


def _describe(refused: Mapping[str, str]) -> str:
    return "; ".join(f"{backend}: {why}" for backend, why in refused.items())
