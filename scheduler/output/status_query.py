"""Where a request is, as far as the scheduler that leads has it in memory. No clock, no I/O."""

from typing import Final

from scheduler.admission.idempotency import IdempotencyCache
from scheduler.dispatch.dispatcher import Dispatcher
from scheduler.dispatch.hold_queue import PendingRequest
from scheduler.effects import Delivery
from scheduler.feedback.backend_state import BackendStates, InFlight
from straightline.contracts import Request, StatusReply, Ticket
from straightline.models.registry_view import RegistryView

WAITS_FOR_TURN: Final = "a backend can take it: it waits for its turn"
REGISTRY_NOT_SYNCED: Final = "it is not known yet what is deployed"


class StatusResolver:
    """Looks in what is held, what waits in delay queues, what is on its way, and what was seen lately.

    Args:
        dispatcher: knows the first two.
        pools: knows what was placed.
        idempotency: knows what came, and what of it has ended.
    """

    def __init__(self, dispatcher: Dispatcher, pools: BackendStates, idempotency: IdempotencyCache) -> None:
        self._dispatcher = dispatcher
        self._backends = pools
        self._idempotency = idempotency

    def find(self, request_id: str, known: RegistryView, now: float) -> StatusReply:
        """Return where a request is.

        Args:
            request_id: in canonical form.
            known: the models.
            now: seconds since the epoch.
        """
        seen = self._idempotency.find(request_id)
        if seen is not None and seen.ended:  # a copy of it may be held, after a lost connection
            return StatusReply(id=request_id)
        case = self._dispatcher.find_held(request_id)
        if case is not None:
            return _held(case.request, case.ticket, self._dispatcher.held_reason(case, now) or WAITS_FOR_TURN)
        waiting = self._dispatcher.delayed(request_id)
        if waiting is not None:
            request, ticket = waiting
            return _held(request, ticket, self._why_away(request, ticket, known, now))
        flight = self._backends.flight(request_id)
        if flight is not None:
            return _placed(request_id, *flight)
        return StatusReply(id=request_id, state=None if seen is None else "accepted")

    def _why_away(self, request: Request, ticket: Ticket, known: RegistryView, now: float) -> str:
        """Return why a request waits in a delay queue: for another attempt, or for what is held in memory."""
        if ticket.held_since is None and ticket.attempts:
            last = ticket.attempts[-1]
            return f"its attempt on {last.backend} failed ({last.error_class}): it is placed again soon"
        spec = None if ticket.version is None else known.find(request.model, ticket.version)
        if spec is None:
            return REGISTRY_NOT_SYNCED
        away = PendingRequest(request, ticket, spec, Delivery("", 0, 0), 0.0)
        return self._dispatcher.held_reason(away, now) or WAITS_FOR_TURN


def _placed(request_id: str, backend: str, flight: InFlight) -> StatusReply:
    trail = flight.trail
    return StatusReply(
        id=request_id,
        state="placed",
        model=flight.model,
        version=trail.version,
        class_="interactive" if flight.interactive else "batch",
        backend=backend,  # type: ignore[arg-type]  # pools know backends as str
        attempts=len(trail.failed) + 1,
        failed=list(trail.failed),
        reason=trail.reason,
        placed_at=flight.placed_at,
        deadline=flight.deadline,
    )


def _held(request: Request, ticket: Ticket, why: str) -> StatusReply:
    return StatusReply(
        id=request.id,
        state="held",
        model=request.model,
        version=ticket.version,
        class_=request.class_,
        attempts=len(ticket.attempts),
        failed=ticket.attempts,
        held_reason=why,
        held_since=ticket.held_since,
        deadline=ticket.deadline,
    )
