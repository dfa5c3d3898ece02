"""Outcomes for requests that nobody else will end: lost ones, and those in dead letters. Pure."""

from typing import Final

import msgspec

from straightline.contracts import Attempt, Outcome, Reason, Request, Ticket
from straightline.contracts.faults import ErrorClass
from straightline.names import Backend, State

LOST: Final = "lost"
"""Error class of a request that was placed and not heard of again by its deadline: it expired."""
DELIVERY_LIMIT: Final = "delivery_limit"
"""Of one whose message came back so often that the broker gave it up."""
MALFORMED: Final = "malformed"
"""Of one whose message was refused by who should have worked on it."""
DEAD_LETTER: Final = "dead_letter"
"""Of one whose message died in any other way."""
UNRECORDABLE: Final = "unrecordable"
"""Of one that has an outcome which the ledger refuses."""


class Resolution(msgspec.Struct, frozen=True):
    """How a request ends, and why: as in its outcome."""

    state: State
    error_class: ErrorClass
    error: str


def of_id(request_id: str, verdict: Resolution, now: float) -> Outcome:
    """Return the outcome of a request of which only the id is known."""
    return Outcome(
        request_id=request_id,
        state=verdict.state,
        finished_at=now,
        error_class=verdict.error_class,
        error=verdict.error,
    )


def of_request(request: Request, verdict: Resolution, now: float) -> Outcome:
    """Return the outcome of a request that never had a ticket."""
    outcome = of_id(request.id, verdict, now)
    outcome.model, outcome.version = request.model, request.version
    outcome.class_, outcome.batch_id = request.class_, request.batch_id
    outcome.submitted_at, outcome.r_d = min(request.submitted_at, now), request.size
    return outcome


def of_ticket(
    ticket: Ticket, request: Request, verdict: Resolution, now: float, *, backend: Backend | None = None
) -> Outcome:
    """Return the outcome of a ticket, with all that was tried.

    Args:
        ticket: as it was found.
        request: that of the ticket.
        verdict: how it ends.
        now: seconds since the epoch.
        backend: where it was placed when its message died; that placement is one more failed attempt.
    """
    outcome = of_request(request, verdict, now)
    outcome.version = ticket.version or request.version
    outcome.submitted_at, outcome.received_at = ticket.submitted_at, ticket.received_at
    outcome.digest, outcome.r_d = ticket.digest, ticket.r_d
    outcome.attempts = list(ticket.attempts)
    if backend is not None:
        placed_at = now if ticket.placed_at is None else ticket.placed_at
        number = len(ticket.attempts) + 1
        outcome.attempts.append(
            unanswered_attempt(verdict, backend, number, placed_at, now, reason=ticket.reason)
        )
    outcome.backend = outcome.attempts[-1].backend if outcome.attempts else None
    return outcome


def unanswered_attempt(  # noqa: PLR0917 - the facts of an attempt, in its own order
    verdict: Resolution,
    backend: Backend,
    number: int,
    placed_at: float,
    now: float,
    reason: Reason | None = None,
) -> Attempt:
    """Return the attempt that a placement was which brought no word."""
    return Attempt(
        number=number,
        backend=backend,
        succeeded=False,
        placed_at=placed_at,
        started_at=now,
        finished_at=now,
        reason=reason,
        error_class=verdict.error_class,
        error=verdict.error,
    )
