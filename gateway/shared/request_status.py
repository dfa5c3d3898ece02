"""The status that callers see of a request that has ended."""

from straightline.contracts import Outcome, RequestStatus


def status_of(outcome: Outcome) -> RequestStatus:
    """Return the status of a request that has ended."""
    last = outcome.attempts[-1] if outcome.attempts else None
    return RequestStatus(
        id=outcome.request_id,
        state=outcome.state,
        model=outcome.model,
        version=outcome.version,
        class_=outcome.class_,
        batch_id=outcome.batch_id,
        backend=outcome.backend,
        attempts=len(outcome.attempts),
        error_class=outcome.error_class,
        error=outcome.error,
        has_result=outcome.state == "succeeded",
        submitted_at=outcome.submitted_at,
        received_at=outcome.received_at,
        placed_at=last.placed_at if last else None,
        finished_at=outcome.finished_at,
        r_d=outcome.r_d,
        cost=outcome.cost,
    )
