"""The progress of a batch job and the event of its end."""

from collections.abc import Mapping
from datetime import datetime
from typing import get_args

from gateway.shared.webhook_event import event
from outcomes.queries.batches import Job
from straightline.contracts import BatchStatus
from straightline.names import State


def status_of(job: Job, states: Mapping[str, int], refused: int) -> BatchStatus:
    """Return the progress of a job.

    Args:
        job: the job in the ledger.
        states: number of ended requests by state.
        refused: number of lines that were not valid requests.
    """
    succeeded = states.get("succeeded", 0)
    return BatchStatus(
        id=job.id,
        state=job.state,
        succeeded=succeeded,
        failed=sum(states.values()) - succeeded,
        refused=refused,
        states={state: states[state] for state in get_args(State) if state in states},
        lines=job.lines,
        read=job.read_up_to,
        size=job.size,
        done=job.at,
        cancelling=job.cancelling and job.finished_at is None,
        error=job.error,
        created_at=_seconds(job.created_at),
        finished_at=_seconds(job.finished_at),
    )


def event_of(states: Mapping[str, int], refused: int, job: Job) -> bytes:
    """Return the webhook event of a job that has ended; the arguments are those of `status_of`."""
    status = status_of(job, states, refused)
    return event(f"batch.{job.state}", status.finished_at or 0.0, status)


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
