"""Batch jobs as their runners see them: lease, checkpoint, release, finish."""

from collections.abc import Callable, Sequence
from datetime import timedelta

import msgspec
from sqlalchemy import Connection, Update, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from outcomes.db.sql_params import in_ids
from outcomes.db.translation import translated
from outcomes.queries.batches import Job, LineRefusal, job_from
from outcomes.queries.webhook_deliveries import add_delivery
from outcomes.schema.tables import BATCH_JOBS, BATCH_REFUSALS, OUTCOMES
from straightline.names import BatchState


def take_job(connection: Connection, owner: str, *, lease: timedelta) -> Job | None:
    """Lease the oldest job without a runner, so that no other process takes it within `lease`."""
    table = BATCH_JOBS
    free = (
        select(table.c.id)
        .where(
            table.c.state.in_(("waiting", "running")),
            or_(table.c.lease.is_(None), table.c.lease < func.now()),
        )
        .order_by(table.c.created_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    taken = (
        update(table)
        .where(table.c.id == free.scalar_subquery())
        .values(owner=owner, lease=func.now() + lease, state="running")
        .returning(table)
    )
    with translated():
        row = connection.execute(taken).mappings().first()
        connection.commit()
    return None if row is None else job_from(row)


def checkpoint_job(
    connection: Connection,
    job_id: str,
    owner: str,
    *,
    lease: timedelta,
    refusals: Sequence[LineRefusal] = (),
    **progress: int,
) -> bool | None:
    """Record a job's progress (`line`, `at`, `read_up_to`) and refused lines, and renew its lease.

    Returns:
        Whether its owner cancelled it; None if another process has taken it over.
    """
    renewed = (
        _owned(job_id, owner).values(**progress, lease=func.now() + lease).returning(BATCH_JOBS.c.cancelling)
    )
    with translated():
        cancelling: bool | None = connection.execute(renewed).scalar()
        if cancelling is not None and refusals:
            rows = [{"job_id": job_id, **msgspec.structs.asdict(refusal)} for refusal in refusals]
            connection.execute(upsert(BATCH_REFUSALS).on_conflict_do_nothing(), rows)
        connection.commit()
    return cancelling


def release_job(connection: Connection, job_id: str, owner: str, *, pause: timedelta = timedelta()) -> None:
    """Give up a job's lease; another process may take it after `pause`."""
    with translated():
        connection.execute(_owned(job_id, owner).values(owner=None, lease=func.now() + pause))
        connection.commit()


def finish_job(
    connection: Connection,
    job_id: str,
    owner: str,
    state: BatchState,
    *,
    event: Callable[[Job], bytes],
    lines: int | None = None,
    error: str | None = None,
) -> None:
    """Record how a job ended and enqueue its notification; neither if another process has taken it over.

    Args:
        connection: to the ledger.
        job_id: of the job.
        owner: the process that ran it.
        state: how it ended.
        event: builds the body of the notification from the finished job.
        lines: number of non-empty lines, if all were read.
        error: why it could not run.
    """
    ended = (
        _owned(job_id, owner)
        .values(owner=None, lease=None, state=state, lines=lines, error=error, finished_at=func.now())
        .returning(BATCH_JOBS)
    )
    with translated():
        row = connection.execute(ended).mappings().first()
        if row is not None and row["webhook_id"] is not None:
            add_delivery(connection, row["webhook_id"], job_id, event(job_from(row)))
        connection.commit()


def finished_ids(connection: Connection, request_ids: Sequence[str]) -> set[str]:
    """Return the ids that have an outcome; `request_ids` must not be empty."""
    wanted = select(OUTCOMES.c.request_id).where(in_ids(OUTCOMES.c.request_id, request_ids))
    with translated():
        return {row[0] for row in connection.execute(wanted)}


def _owned(job_id: str, owner: str) -> Update:
    return update(BATCH_JOBS).where(BATCH_JOBS.c.id == job_id, BATCH_JOBS.c.owner == owner)
