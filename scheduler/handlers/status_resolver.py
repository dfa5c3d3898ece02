"""The state of a request, as far as the leading scheduler has it in memory."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

from scheduler.admission.idempotency import IdempotencyCache
from scheduler.dispatch.dispatcher import Dispatcher
from scheduler.effects import Delivery
from scheduler.feedback.backend_state import BackendStates
from scheduler.feedback.in_flight import InFlight
from scheduler.lifecycle import PendingRequest
from straightline.contracts import Request, Ticket
from straightline.contracts.status_events import StatusEvent
from straightline.models.registry_view import RegistryView
from straightline.names import Backend

WAITS_FOR_TURN: Final = "a backend can take it: it waits for its turn"
MAX_HELD: Final = 500
"""Held requests whose reasons are compared in one refresh."""
REGISTRY_NOT_SYNCED: Final = "it is not known yet what is deployed"


class StatusResolver:
    """Looks a request up among those held, delayed, in flight and recently seen.

    Args:
        dispatcher: knows requests held in memory or in a delay queue.
        backends: knows requests in flight.
        idempotency: knows recent ids, and which of them have ended.
    """

    def __init__(
        self, dispatcher: Dispatcher, backends: BackendStates, idempotency: IdempotencyCache
    ) -> None:
        self._dispatcher = dispatcher
        self._backends = backends
        self._idempotency = idempotency

    def snapshot(self, known: RegistryView, now: float) -> Callable[[str], StatusEvent | None]:
        """Return a function that looks up the state of a request: None if it has ended or is unknown.

        Args:
            known: the models.
            now: seconds since the epoch.
        """
        held = {pending.request.id: pending for pending in self._dispatcher.holds.in_order()}

        def find(request_id: str) -> StatusEvent | None:
            seen = self._idempotency.find(request_id)
            if seen is not None and seen.ended:  # a duplicate may be held after a lost connection
                return None
            pending = held.get(request_id)
            if pending is not None:
                return self._held(pending, now)
            waiting = self._dispatcher.holds.find_delayed(request_id)
            if waiting is not None:
                request, ticket = waiting
                return _held(request, ticket, self._why_away(request, ticket, known, now), now)
            flight = self._backends.flight(request_id)
            if flight is not None:
                return _placed(request_id, *flight, now)
            return None if seen is None else StatusEvent(id=request_id, state="accepted", at=now)

        return find

    def held(self, now: float) -> Iterator[StatusEvent]:
        """Return the requests held in memory, at most `MAX_HELD`."""
        for pending in islice(self._dispatcher.holds.in_order(), MAX_HELD):
            yield self._held(pending, now)

    def _held(self, pending: PendingRequest, now: float) -> StatusEvent:
        why = self._dispatcher.held_reason(pending, now) or WAITS_FOR_TURN
        return _held(pending.request, pending.ticket, why, now)

    def _why_away(self, request: Request, ticket: Ticket, known: RegistryView, now: float) -> str:
        """Return why a request is in a delay queue: for another attempt, or since no backend can take it."""
        if ticket.held_since is None and ticket.attempts:
            last = ticket.attempts[-1]
            return f"its attempt on {last.backend} failed ({last.error_class}): it is placed again soon"
        spec = None if ticket.version is None else known.find(request.model, ticket.version)
        if spec is None:
            return REGISTRY_NOT_SYNCED
        away = PendingRequest(request, ticket, spec, Delivery("", 0, 0), 0.0)
        return self._dispatcher.held_reason(away, now) or WAITS_FOR_TURN


def _placed(request_id: str, backend: Backend, flight: InFlight, now: float) -> StatusEvent:
    context = flight.context
    return StatusEvent(
        id=request_id,
        state="placed",
        at=now,
        model=flight.model,
        version=context.version,
        class_="interactive" if flight.interactive else "batch",
        backend=backend,
        attempts=len(context.failed) + 1,
        failed=list(context.failed),
        reason=context.reason,
        placed_at=flight.placed_at,
        deadline=flight.deadline,
    )


def _held(request: Request, ticket: Ticket, why: str, now: float) -> StatusEvent:
    return StatusEvent(
        id=request.id,
        state="held",
        at=now,
        model=request.model,
        version=ticket.version,
        class_=request.class_,
        batch_id=request.batch_id,
        attempts=len(ticket.attempts),
        failed=ticket.attempts,
        held_reason=why,
        submitted_at=ticket.submitted_at,
        held_since=ticket.held_since,
        deadline=ticket.deadline,
    )
