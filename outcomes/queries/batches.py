"""Batch jobs in the ledger: who handed them in, how far they came, and which lines were no requests.

What became of their requests stands where that of all requests does, under the job's id as `batch_id`.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, Update, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from outcomes.db.sql_params import in_ids
from outcomes.db.translation import translated
from outcomes.queries.webhooks import add_delivery
from outcomes.schema.tables import BATCH_JOBS, BATCH_REFUSALS, OUTCOMES
from straightline.names import BatchState


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job.

    Attributes:
        id: names it, and is the `batch_id` of its requests.
        uri, size: of its lines in the store; bytes.
        defaults: for lines that do not say it themselves.
        state: `waiting` for a runner, `running`, or how it ended; `failed` where it could not be run.
        cancelling: whether its owner wishes it to end.
        line, at: all lines before this one are done; its first byte.
        read_up_to: last line that was read.
        lines: with something in them; None until all were read.
        error: why it could not be run.
        created_at, finished_at: when.
        webhook_id: of the one that is to be told of its end; None where none is.
    """

    id: str
    uri: str
    size: int
    defaults: dict[str, Any]
    state: BatchState
    cancelling: bool
    line: int
    at: int
    read_up_to: int
    lines: int | None
    error: str | None
    created_at: datetime
    finished_at: datetime | None
    webhook_id: str | None = None


class LineRefusal(msgspec.Struct, frozen=True):
    """A line that was no request, and why."""

    line: int
    error_class: str
    error: str


def create_job(
    connection: Connection,
    job_id: str,
    *,
    key_id: str,
    uri: str,
    size: int,
    defaults: Mapping[str, Any],
    idempotency_key: str | None = None,
    webhook_id: str | None = None,
) -> Job:
    """Keep a job, which a runner will take, and return it.

    Args:
        connection: to the ledger.
        job_id: names it.
        key_id: of its owner's key.
        uri: of its lines in the store.
        size: of them, bytes.
        defaults: for lines that do not say it themselves.
        idempotency_key: the owner's word for it; the job that he handed in under it before is returned.
        webhook_id: of the one that is to be told of its end.
    """
    table = BATCH_JOBS
    values = {
        "id": job_id,
        "key_id": key_id,
        "uri": uri,
        "size": size,
        "defaults": dict(defaults),
        "idempotency_key": idempotency_key,
        "webhook_id": webhook_id,
    }
    made = (
        upsert(table)
        .values(values)
        .on_conflict_do_nothing(constraint="batch_jobs_key_id_idempotency_key_key")
    )
    before = select(table).where(table.c.key_id == key_id, table.c.idempotency_key == idempotency_key)
    with translated():
        row = connection.execute(made.returning(table)).mappings().first()
        connection.commit()
        return _job(row or connection.execute(before).mappings().one())


def job_of(connection: Connection, job_id: str, *, key_id: str) -> Job | None:
    """Return a job of a key; None where there is none."""
    table = BATCH_JOBS
    wanted = select(table).where(table.c.id == job_id, table.c.key_id == key_id)
    with translated():
        row = connection.execute(wanted).mappings().first()
    return None if row is None else _job(row)


def jobs_of(connection: Connection, key_id: str, *, most: int, before: str | None = None) -> Sequence[Job]:
    """Return the newest jobs of a key, the newest first.

    Ids sort by when they were made.

    Args:
        connection: to the ledger.
        key_id: of their owner's key.
        most: how many.
        before: an id; None, or those that are older than it.
    """
    table = BATCH_JOBS
    wanted = select(table).where(table.c.key_id == key_id)
    if before is not None:
        wanted = wanted.where(table.c.id < before)
    with translated():
        rows = connection.execute(wanted.order_by(table.c.id.desc()).limit(most)).mappings()
        return [_job(row) for row in rows]


def cancel_job(connection: Connection, job_id: str, *, key_id: str) -> None:
    """Note that a job of a key is to end; nothing happens to one that has."""
    table = BATCH_JOBS
    with translated():
        connection.execute(
            update(table)
            .where(table.c.id == job_id, table.c.key_id == key_id, table.c.finished_at.is_(None))
            .values(cancelling=True)
        )
        connection.commit()


def take_job(connection: Connection, owner: str, *, lease: timedelta) -> Job | None:
    """Take the oldest job that nobody runs, so that no other process takes it within `lease`."""
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
    return None if row is None else _job(row)


def checkpoint_job(
    connection: Connection,
    job_id: str,
    owner: str,
    *,
    lease: timedelta,
    refusals: Sequence[LineRefusal] = (),
    **progress: int,
) -> bool | None:
    """Note how far a job came (`line`, `at`, `read_up_to`), and keep it for another `lease`.

    Returns:
        Whether it is to be given up; None where another process has it by now.
    """
    table = BATCH_JOBS
    kept = (
        update(table)
        .where(table.c.id == job_id, table.c.owner == owner)
        .values(**progress, lease=func.now() + lease)
        .returning(table.c.cancelling)
    )
    with translated():
        cancelling: bool | None = connection.execute(kept).scalar()
        if cancelling is not None and refusals:
            rows = [{"job_id": job_id, **msgspec.structs.asdict(refusal)} for refusal in refusals]
            connection.execute(upsert(BATCH_REFUSALS).on_conflict_do_nothing(), rows)
        connection.commit()
    return cancelling


def release_job(connection: Connection, job_id: str, owner: str, *, pause: timedelta = timedelta()) -> None:
    """Leave a job to who takes it next, after `pause`."""
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
    """Note how a job ended, and with it what its webhook is to be told; neither where another process has it.

    Args:
        connection: to the ledger.
        job_id: which.
        owner: who ran it.
        state: how it ended.
        event: what the webhook is sent of the job as it ended then.
        lines: with something in them, where all were read.
        error: why it could not be run.
    """
    ended = (
        _owned(job_id, owner)
        .values(owner=None, lease=None, state=state, lines=lines, error=error, finished_at=func.now())
        .returning(BATCH_JOBS)
    )
    with translated():
        row = connection.execute(ended).mappings().first()
        if row is not None and row["webhook_id"] is not None:
            add_delivery(connection, row["webhook_id"], job_id, event(_job(row)))
        connection.commit()


def states_of(connection: Connection, job_ids: Sequence[str]) -> dict[str, dict[str, int]]:
    """Count the outcomes of the requests of jobs, by the job and their state."""
    of = OUTCOMES.c.batch_id
    counts = select(of, OUTCOMES.c.state, func.count()).where(of.in_(job_ids)).group_by(of, OUTCOMES.c.state)
    found: dict[str, dict[str, int]] = {job_id: {} for job_id in job_ids}
    with translated():
        for job_id, state, count in connection.execute(counts):
            found[job_id][state] = count
    return found


def refused_of(connection: Connection, job_ids: Sequence[str]) -> dict[str, int]:
    """Count the lines of jobs that were no requests, by the job."""
    of = BATCH_REFUSALS.c.job_id
    counts = select(of, func.count()).where(of.in_(job_ids)).group_by(of)
    found = dict.fromkeys(job_ids, 0)
    with translated():
        found.update((job_id, count) for job_id, count in connection.execute(counts))
    return found


def refusals_of(connection: Connection, job_id: str, first: int, last: int) -> dict[int, LineRefusal]:
    """Return the lines of a job that were no requests, from `first` to `last`."""
    table = BATCH_REFUSALS
    wanted = select(table).where(table.c.job_id == job_id, table.c.line.between(first, last))
    with translated():
        rows = connection.execute(wanted).mappings()
        return {row["line"]: LineRefusal(row["line"], row["error_class"], row["error"]) for row in rows}


def finished_ids(connection: Connection, request_ids: Sequence[str]) -> set[str]:
    """Return those of the ids, at least one, that have an outcome."""
    wanted = select(OUTCOMES.c.request_id).where(in_ids(OUTCOMES.c.request_id, request_ids))
    with translated():
        return {row[0] for row in connection.execute(wanted)}


def _owned(job_id: str, owner: str) -> Update:
    return update(BATCH_JOBS).where(BATCH_JOBS.c.id == job_id, BATCH_JOBS.c.owner == owner)


def _job(row: RowMapping) -> Job:
    return Job(**{name: row[name] for name in Job.__struct_fields__})
