"""Outcomes that the scheduler itself gives: rejected, expired, failed, cancelled."""

from straightline.contracts import Outcome, Request, Ticket
from straightline.contracts.faults import ErrorClass
from straightline.names import State


def refusal(
    request_id: str,
    request: Request | None,
    *,
    state: State,
    error_class: ErrorClass,
    error: str,
    now: float,
    content: str | None = None,
) -> Outcome:
    """Return the outcome of a request without a ticket; `request` is None where it was unreadable."""
    outcome = Outcome(
        request_id=request_id,
        state=state,
        finished_at=now,
        received_at=now,
        error_class=error_class,
        error=error,
        digest=content,
    )
    if request is not None:
        outcome.model = request.model
        outcome.version = request.version
        outcome.class_ = request.class_
        outcome.batch_id = request.batch_id
        outcome.submitted_at = min(request.submitted_at, now)
        outcome.r_d = request.size
    return outcome


def ending(
    ticket: Ticket,
    request: Request,
    *,
    state: State,
    error_class: ErrorClass,
    error: str,
    now: float,
    retry_after: float | None = None,
) -> Outcome:
    """Return the outcome of a ticket that ends here, with its attempts."""
    return Outcome(
        request_id=request.id,
        state=state,
        finished_at=now,
        model=request.model,
        version=ticket.version or request.version,
        class_=request.class_,
        batch_id=request.batch_id,
        backend=ticket.attempts[-1].backend if ticket.attempts else None,
        attempts=ticket.attempts,
        error_class=error_class,
        error=error,
        submitted_at=ticket.submitted_at,
        received_at=ticket.received_at,
        r_d=ticket.r_d,
        digest=ticket.digest,
        retry_after=retry_after,
    )
