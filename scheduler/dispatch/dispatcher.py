"""Dispatches requests: each is placed, held, or ended."""

from math import inf

from scheduler.dispatch.coalescing import Coalescer
from scheduler.dispatch.decision import Decision, PlacementDecider, describe_refusals
from scheduler.dispatch.hold_queue import HoldQueue
from scheduler.dispatch.ledger_notifier import LedgerNotifier
from scheduler.effects import PendingEffects
from scheduler.feedback.backend_state import BackendStates
from scheduler.feedback.breakers import Breakers
from scheduler.feedback.in_flight import PlacementContext
from scheduler.feedback.retries import suspect
from scheduler.lifecycle import Lifecycle, PendingRequest
from scheduler.output.outcome_emitter import OutcomeEmitter
from scheduler.placement.budget import RetryBudget
from scheduler.placement.model import Placement
from scheduler.settings import Settings
from straightline.ids import new_id
from straightline.messages.placements import placement_message
from straightline.names import Backend


class Dispatcher:
    """Places requests as the policy decides, and passes those that must wait to the hold queue.

    Args:
        settings: thresholds and bounds.
        backends: free slots.
        breakers: failing backends and models.
        effects: receives the placement messages.
        emitter: ends requests.
        lifecycle: records each placement and hold.
        origin: name of this scheduler in the task messages.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        backends: BackendStates,
        breakers: Breakers,
        effects: PendingEffects,
        emitter: OutcomeEmitter,
        lifecycle: Lifecycle,
        origin: str,
    ) -> None:
        self._backends = backends
        self._breakers = breakers
        self._effects = effects
        self._emitter = emitter
        self._lifecycle = lifecycle
        self._origin = origin
        self._max_wait = settings.longest_wait or inf
        self._budget = RetryBudget(settings.allowance)
        self._coalescer = Coalescer(
            effects, max_requests=settings.coalesce, max_bytes=settings.coalesce_bytes
        )
        self._ledger = LedgerNotifier(effects, grace_s=settings.lease_grace)
        self.holds = HoldQueue(
            effects, lifecycle, interactive=settings.hold_window, batch=settings.batch_prefetch
        )
        self._decider = PlacementDecider(
            thresholds=settings.thresholds,
            limits=settings.limits,
            backends=backends,
            breakers=breakers,
            budget=self._budget,
            holds=self.holds,
        )

    def submit(self, pending: PendingRequest, now: float, *, fresh: bool = False) -> None:
        """Place a request, or hold it.

        Args:
            pending: the request.
            now: seconds since the epoch.
            fresh: whether it comes from its producer. An interactive one may then be rejected, if it would
                not be answered in time. A request that was accepted once is held until its deadline.
        """
        rejectable = fresh and pending.request.class_ == "interactive"
        if rejectable:
            pending.max_wait = self._max_wait
        must_wait = False
        if not self.holds.is_empty(pending.request.class_):
            pending.hold_key = self._decider.hold_key(pending)
            must_wait = self.holds.has_older(pending)
        if not must_wait and self.try_place(pending, now):
            return
        if rejectable and self._reject_if_overloaded(pending, now):
            return
        pending.max_wait = inf
        pending.hold_key = pending.hold_key or self._decider.hold_key(pending)
        self.holds.add(pending, now)

    def try_place(self, pending: PendingRequest, now: float) -> bool:
        """Place a request, or end it if no backend can ever take it; return False where it must wait."""
        decision = self._decider.decide(pending, now)
        if decision is None:
            return False
        placement = decision[1]
        if placement.backend is not None:
            self._place(pending, placement.backend, decision, now)
        elif placement.infeasible:
            self._fail_infeasible(pending, placement, now)
        else:
            return False
        return True

    def held_reason(self, pending: PendingRequest, now: float) -> str:
        """Return why a request is held; empty where it is not held, or only waits for its turn."""
        return self._decider.held_reason(pending, now)

    def release(self, now: float) -> None:
        """Place held requests after something became free, oldest first."""
        if not self.holds.in_memory:
            return
        states = self._backends.state.values()

        def urgent(pending: PendingRequest) -> bool:
            left = pending.ticket.deadline - now
            return any(left < state.best_cases.get(pending.spec.name, 0.0) for state in states)

        self.holds.release(lambda pending: self.try_place(pending, now), urgent)

    def tick(self, now: float) -> None:
        """End the holds whose deadline has passed, and move long ones to the broker."""
        self.holds.take(
            lambda pending: pending.ticket.deadline <= now, lambda pending: self.expire_hold(pending, now)
        )
        self.holds.move_long_holds(now)

    def expire_hold(self, pending: PendingRequest, now: float) -> None:
        """End a request whose deadline has passed, with the reason why it was held."""
        self._emitter.expire(pending, now, self.held_reason(pending, now))

    def flush(self, now: float, *, final: bool = False) -> None:
        """Send the placements since the last flush, and due leases; `final` sends all leases."""
        self._backends.sent()
        for group in self._coalescer.flush():
            task_id = new_id()
            outgoing = placement_message(
                task_id,
                group.tickets,
                model=group.model,
                backend=group.backend,
                size=group.size,
                origin=self._origin,
            )
            self._effects.send(outgoing, *group.owned.deliveries)
            self._ledger.add(group, task_id, now)
        if final or self._ledger.due_in(now) == 0.0:
            self._ledger.flush()

    def next_wakeup(self, now: float) -> float | None:
        """Return seconds until leases are due or batch work may go on; None without either."""
        waits = [self._ledger.due_in(now), self._batch_wakeup_in(now)]
        return min((wait for wait in waits if wait is not None), default=None)

    def batch_may_begin(self, now: float) -> bool:
        """Whether a batch request waits in memory, and a batch slot may begin."""
        return self.holds.batch_waits and self._backends.batch_wait(now) == 0.0

    def _batch_wakeup_in(self, now: float) -> float | None:
        wait = self._backends.batch_wait(now) if self.holds.batch_waits else 0.0
        return wait if 0.0 < wait < inf else None

    def _place(self, pending: PendingRequest, backend: Backend, decision: Decision, now: float) -> None:
        request, ticket, model = pending.request, pending.ticket, pending.spec.name
        probe = self._breakers.placed(backend, model, request.id, now)
        self._lifecycle.place(request, ticket, backend, self._decider.reason(decision, probe=probe), now)
        self._budget.placed(model, now, retry=bool(ticket.attempts))
        context = PlacementContext(ticket.version, ticket.reason, ticket.attempts)
        slot = None
        # A request that may have brought down a call travels alone.
        batchable = pending.spec.batchable and not probe and not suspect(ticket.attempts)
        if request.class_ == "batch":
            kind = (model, ticket.version)
            slot = self._backends.batch_placed(
                backend, kind, request.id, now, ticket.deadline, alone=not batchable, context=context
            )
        else:
            self._backends.placed(backend, model, request.id, now, ticket.deadline, context=context)
        self._coalescer.add(pending, backend, slot=slot, batchable=batchable)

    def _reject_if_overloaded(self, pending: PendingRequest, now: float) -> bool:
        why = self._decider.overload(pending, now)
        if why is None:
            return False
        self._emitter.reject_saturated(pending, why, now)
        return True

    def _fail_infeasible(self, pending: PendingRequest, placement: Placement, now: float) -> None:
        self._emitter.end(
            pending,
            now,
            state="failed" if pending.ticket.attempts else "rejected",
            error_class="no_backend",
            error=f"no backend can take it: {describe_refusals(placement.refused)}",
        )
