"""What became of a request in a pool, and how the ledger and the scheduler are told. Pure."""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from straightline.contracts import Attempt, DataRef, FailedAttempt, Outcome
from straightline.contracts.outcome import NO_RESULT
from straightline.names import Backend
from workers.execution.placements import Work

MAX_ERROR_CHARS: Final = 500
"""Characters of a sentence about an error that are kept."""


class ExecutionResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one request.

    Attributes:
        kind: a final state, or `fault`: the backend is at fault, the request goes back for placement.
        started_at, finished_at: seconds since the epoch.
        result, result_ref: the answer, inline or where it lies.
        error_class, error: what went wrong, as a word and as a sentence.
        asked: whether the backend was asked at all.
        service: seconds in the backend, cold start included.
        cold_start: seconds of it that went into starting the backend.
        share: requests that were answered by the same call.
    """

    kind: Literal["succeeded", "failed", "rejected", "expired", "cancelled", "fault"]
    started_at: float
    finished_at: float
    result: msgspec.Raw = NO_RESULT
    result_ref: DataRef | None = None
    error_class: str | None = None
    error: str | None = None
    asked: bool = True
    service: float = 0.0
    cold_start: float | None = None
    share: int = 1


class Price(msgspec.Struct, frozen=True):
    """What a backend costs, in US dollars: for each second of service and for each call."""

    per_second: float
    per_call: float = 0.0


PRICES: Final[Mapping[Backend, Price]] = {
    # AWS Lambda's list price: 0.0000166667 for a GB-second, at 1 GB, and 0.20 for a million calls.
    "serverless": Price(per_second=0.0000166667, per_call=0.0000002),
    # One small GPU instance on demand, 0.526 an hour.
    "gpu-container": Price(per_second=0.526 / 3600),
    # Two virtual cores on demand, 0.0416 an hour.
    "local": Price(per_second=0.0416 / 3600),
}
"""List prices: an estimate that lets backends be compared, not a bill."""


class PoolIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Where verdicts are given: the backend, the Celery worker's node name, and the backend's price."""

    backend: Backend
    worker: str
    price: Price


def attempt_of(work: Work, verdict: ExecutionResult, place: PoolIdentity) -> Attempt:
    """Tell the ledger of the call that was made."""
    ticket = work.ticket
    placed_at = ticket.received_at if ticket.placed_at is None else ticket.placed_at
    return Attempt(
        number=len(ticket.attempts) + 1,
        backend=place.backend,
        succeeded=verdict.kind == "succeeded",
        worker=place.worker,
        reason=ticket.reason,
        placed_at=placed_at,
        started_at=verdict.started_at,
        finished_at=verdict.finished_at,
        # The clocks of two machines may differ by more than a short wait.
        wait=max(0.0, verdict.started_at - placed_at),
        service=verdict.service,
        cold_start=verdict.cold_start,
        error_class=verdict.error_class,
        error=_short(verdict.error),
    )


def outcome_of(work: Work, verdict: ExecutionResult, place: PoolIdentity) -> Outcome:
    """Make the final outcome of a request whose verdict is not `fault`."""
    state = verdict.kind
    if state == "fault":
        raise ValueError("a fault is not final: the request goes back for placement")
    ticket, request = work.ticket, work.request
    attempts = [*ticket.attempts, attempt_of(work, verdict, place)] if verdict.asked else ticket.attempts
    return Outcome(
        request_id=request.id,
        state=state,
        finished_at=verdict.finished_at,
        model=request.model,
        version=ticket.version or request.version,
        class_=request.class_,
        batch_id=request.batch_id,
        backend=attempts[-1].backend if attempts else None,
        attempts=attempts,
        error_class=verdict.error_class,
        error=_short(verdict.error),
        result=verdict.result,
        result_ref=verdict.result_ref,
        submitted_at=ticket.submitted_at,
        received_at=ticket.received_at,
        r_d=ticket.r_d,
        cost=cost_of(verdict, place.price) if verdict.asked else None,
        digest=ticket.digest,
    )


def failed_attempt_of(work: Work, verdict: ExecutionResult, place: PoolIdentity) -> FailedAttempt:
    """Tell the scheduler of a fault, so that it places the request again."""
    return FailedAttempt(ticket=work.ticket, attempt=attempt_of(work, verdict, place))


def cost_of(verdict: ExecutionResult, price: Price) -> float:
    """Estimate a request's share of its call, in US dollars."""
    return (verdict.service * price.per_second + price.per_call) / verdict.share


def _short(text: str | None) -> str | None:
    if text is None or len(text) <= MAX_ERROR_CHARS:
        return text
    return text[: MAX_ERROR_CHARS - 3] + "..."
