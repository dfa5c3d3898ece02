"""Outcomes of requests that no component will finish: lost ones, and those in dead letters."""

from typing import Final

import msgspec

from straightline.contracts import Attempt, Outcome, Reason, Request, Ticket
from straightline.contracts.faults import ErrorClass
from straightline.names import Backend, State

LOST: Final = "lost"
"""Class of a placed request whose result had not arrived by its deadline: it expired."""
DELIVERY_LIMIT: Final = "delivery_limit"
"""Class of a request whose message reached the broker's delivery limit."""
MALFORMED: Final = "malformed"
"""Class of a request whose message a consumer rejected."""
DEAD_LETTER: Final = "dead_letter"
"""Class of a request whose message died in any other way."""
UNRECORDABLE: Final = "unrecordable"
"""Class of a request whose outcome the ledger refuses."""


class Resolution(msgspec.Struct, frozen=True):
    """The end of a request: fields of its outcome."""

    state: State
    error_class: ErrorClass
    error: str


def of_id(request_id: str, resolution: Resolution, now: float) -> Outcome:
    """Return the outcome of a request of which only the id is known."""
    return Outcome(
        request_id=request_id,
        state=resolution.state,
        finished_at=now,
        error_class=resolution.error_class,
        error=resolution.error,
    )


def of_request(request: Request, resolution: Resolution, now: float) -> Outcome:
    """Return the outcome of a request that never had a ticket."""
    outcome = of_id(request.id, resolution, now)
    outcome.model, outcome.version = request.model, request.version
    outcome.class_, outcome.batch_id = request.class_, request.batch_id
    outcome.submitted_at, outcome.r_d = min(request.submitted_at, now), request.size
    return outcome


def of_ticket(
    ticket: Ticket, request: Request, resolution: Resolution, now: float, *, backend: Backend | None = None
) -> Outcome:
    """Return the outcome of a ticket, with every attempt.

    Args:
        ticket: as found.
        request: the ticket's request.
        resolution: how it ends.
        now: Unix seconds.
        backend: where it was placed when its message died; that placement becomes a failed attempt.
    """
    outcome = of_request(request, resolution, now)
    outcome.version = ticket.version or request.version
    outcome.submitted_at, outcome.received_at = ticket.submitted_at, ticket.received_at
    outcome.digest, outcome.r_d = ticket.digest, ticket.r_d
    outcome.attempts = list(ticket.attempts)
    if backend is not None:
        placed_at = now if ticket.placed_at is None else ticket.placed_at
        number = len(ticket.attempts) + 1
        outcome.attempts.append(
            unanswered_attempt(resolution, backend, number, placed_at, now, reason=ticket.reason)
        )
    outcome.backend = outcome.attempts[-1].backend if outcome.attempts else None
    return outcome


def unanswered_attempt(  # noqa: PLR0917 - the facts of an attempt, in its own order
    resolution: Resolution,
    backend: Backend,
    number: int,
    placed_at: float,
    now: float,
    reason: Reason | None = None,
) -> Attempt:
    """Return a placement without an answer as a failed attempt."""
    return Attempt(
        number=number,
        backend=backend,
        succeeded=False,
        placed_at=placed_at,
        started_at=now,
        finished_at=now,
        reason=reason,
        error_class=resolution.error_class,
        error=resolution.error,
    )
