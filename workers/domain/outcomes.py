"""Attempts and outcomes for the ledger, made from execution results, with their estimated cost."""

from collections.abc import Mapping
from typing import Final

import msgspec

from straightline.contracts import Attempt, FailedAttempt, Outcome
from straightline.names import Backend
from workers.domain.placements import Work
from workers.domain.result import ExecutionResult

MAX_ERROR_CHARS: Final = 500
"""Longer error messages are cut."""


class Price(msgspec.Struct, frozen=True):
    """A backend's price in US dollars, by second of service and by call."""

    per_second: float
    per_call: float = 0.0


PRICES: Final[Mapping[Backend, Price]] = {
    # AWS Lambda's list price: 0.0000166667 by GB-second, at 1 GB, and 0.20 by million calls.
    "serverless": Price(per_second=0.0000166667, per_call=0.0000002),
    # One small GPU instance on demand, 0.526 an hour.
    "gpu-container": Price(per_second=0.526 / 3600),
    # Two virtual cores on demand, 0.0416 an hour.
    "local": Price(per_second=0.0416 / 3600),
}
"""List prices: an estimate to compare backends by, not a bill."""


class PoolIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """The pool that produces results: its backend, its Celery node name and its backend's price."""

    backend: Backend
    worker: str
    price: Price


def attempt_of(work: Work, result: ExecutionResult, pool: PoolIdentity) -> Attempt:
    """Return the ledger's record of a call."""
    ticket = work.ticket
    placed_at = ticket.received_at if ticket.placed_at is None else ticket.placed_at
    return Attempt(
        number=len(ticket.attempts) + 1,
        backend=pool.backend,
        succeeded=result.kind == "succeeded",
        worker=pool.worker,
        reason=ticket.reason,
        placed_at=placed_at,
        started_at=result.started_at,
        finished_at=result.finished_at,
        # The clocks of two machines may differ by more than a short wait.
        wait=max(0.0, result.started_at - placed_at),
        service=result.service,
        cold_start=result.cold_start,
        error_class=result.error_class,
        error=_truncate(result.error),
    )


def outcome_of(work: Work, result: ExecutionResult, pool: PoolIdentity) -> Outcome:
    """Return the outcome of a request.

    Raises:
        ValueError: the result is a `fault`, which is not final.
    """
    state = result.kind
    if state == "fault":
        raise ValueError("a fault is not final: the request goes back for placement")
    ticket, request = work.ticket, work.request
    attempts = [*ticket.attempts, attempt_of(work, result, pool)] if result.asked else ticket.attempts
    return Outcome(
        request_id=request.id,
        state=state,
        finished_at=result.finished_at,
        model=request.model,
        version=ticket.version or request.version,
        class_=request.class_,
        batch_id=request.batch_id,
        backend=attempts[-1].backend if attempts else None,
        attempts=attempts,
        error_class=result.error_class,
        error=_truncate(result.error),
        result=result.result,
        result_ref=result.result_ref,
        submitted_at=ticket.submitted_at,
        received_at=ticket.received_at,
        r_d=ticket.r_d,
        cost=cost_of(result, pool.price) if result.asked else None,
        digest=ticket.digest,
    )


def failed_attempt_of(work: Work, result: ExecutionResult, pool: PoolIdentity) -> FailedAttempt:
    """Return the message with which a faulted request goes back to the scheduler."""
    return FailedAttempt(ticket=work.ticket, attempt=attempt_of(work, result, pool))


def cost_of(result: ExecutionResult, price: Price) -> float:
    """Estimate a request's share of its call, in US dollars."""
    return (result.service * price.per_second + price.per_call) / result.share


def _truncate(text: str | None) -> str | None:
    if text is None or len(text) <= MAX_ERROR_CHARS:
        return text
    return text[: MAX_ERROR_CHARS - 3] + "..."
