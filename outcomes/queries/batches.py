"""Batch jobs as their owners see them: submit, find, list, cancel, count.

The outcomes of a job's requests are in the table of outcomes, under the job's id as `batch_id`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from outcomes.db.translation import translated
from outcomes.schema.tables import BATCH_JOBS, BATCH_REFUSALS, OUTCOMES
from straightline.names import BatchState


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A batch job.

    Attributes:
        id: of the job, and `batch_id` of its requests.
        uri: its lines in the store.
        size: bytes of its lines.
        defaults: values for lines that omit them.
        state: `waiting` for a runner, `running`, or how it ended; `failed` if it could not run.
        cancelling: whether its owner cancelled it.
        line: first line that is not done.
        at: byte offset of that line.
        read_up_to: last line read.
        lines: number of non-empty lines; None until all are read.
        error: why it could not run.
        created_at, finished_at: when.
        webhook_id: webhook notified of its end; None for none.
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
    """A line that is not a valid request, and why."""

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
    """Insert a job for the runners and return it.

    Args:
        connection: to the ledger.
        job_id: of the job.
        key_id: of its owner's API key.
        uri: its lines in the store.
        size: bytes of its lines.
        defaults: values for lines that omit them.
        idempotency_key: chosen by the owner; a job submitted earlier under it is returned instead.
        webhook_id: webhook to notify of its end.
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
    statement = (
        upsert(table)
        .values(values)
        .on_conflict_do_nothing(constraint="batch_jobs_key_id_idempotency_key_key")
    )
    earlier = select(table).where(table.c.key_id == key_id, table.c.idempotency_key == idempotency_key)
    with translated():
        row = connection.execute(statement.returning(table)).mappings().first()
        connection.commit()
        return job_from(row or connection.execute(earlier).mappings().one())


def job_of(connection: Connection, job_id: str, *, key_id: str) -> Job | None:
    """Return a job of a key; None if there is none."""
    wanted = select(BATCH_JOBS).where(BATCH_JOBS.c.id == job_id, BATCH_JOBS.c.key_id == key_id)
    with translated():
        row = connection.execute(wanted).mappings().first()
    return None if row is None else job_from(row)


def jobs_of(connection: Connection, key_id: str, *, limit: int, before: str | None = None) -> Sequence[Job]:
    """Return the jobs of a key, newest first. Ids sort by creation time.

    Args:
        connection: to the ledger.
        key_id: of the owner's API key.
        limit: maximum number.
        before: return jobs older than this id; None for the newest.
    """
    table = BATCH_JOBS
    wanted = select(table).where(table.c.key_id == key_id)
    if before is not None:
        wanted = wanted.where(table.c.id < before)
    with translated():
        rows = connection.execute(wanted.order_by(table.c.id.desc()).limit(limit)).mappings()
        return [job_from(row) for row in rows]


def cancel_job(connection: Connection, job_id: str, *, key_id: str) -> None:
    """Mark a key's job as cancelled; a finished job stays as it is."""
    table = BATCH_JOBS
    with translated():
        connection.execute(
            update(table)
            .where(table.c.id == job_id, table.c.key_id == key_id, table.c.finished_at.is_(None))
            .values(cancelling=True)
        )
        connection.commit()


def states_of(connection: Connection, job_ids: Sequence[str]) -> dict[str, dict[str, int]]:
    """Count the outcomes of jobs, by job and state."""
    batch = OUTCOMES.c.batch_id
    counts = select(batch, OUTCOMES.c.state, func.count()).where(batch.in_(job_ids))
    found: dict[str, dict[str, int]] = {job_id: {} for job_id in job_ids}
    with translated():
        for job_id, state, count in connection.execute(counts.group_by(batch, OUTCOMES.c.state)):
            found[job_id][state] = count
    return found


def refused_of(connection: Connection, job_ids: Sequence[str]) -> dict[str, int]:
    """Count the lines of jobs that are not valid requests, by job."""
    job = BATCH_REFUSALS.c.job_id
    counts = select(job, func.count()).where(job.in_(job_ids)).group_by(job)
    found = dict.fromkeys(job_ids, 0)
    with translated():
        found.update((job_id, count) for job_id, count in connection.execute(counts))
    return found


def refusals_of(connection: Connection, job_id: str, first: int, last: int) -> dict[int, LineRefusal]:
    """Return a job's lines that are not valid requests, from `first` to `last`, both included."""
    table = BATCH_REFUSALS
    wanted = select(table).where(table.c.job_id == job_id, table.c.line.between(first, last))
    with translated():
        rows = connection.execute(wanted).mappings()
        return {row["line"]: LineRefusal(row["line"], row["error_class"], row["error"]) for row in rows}


def job_from(row: RowMapping) -> Job:
    """Build a job from a row of the table."""
    return Job(**{name: row[name] for name in Job.__struct_fields__})
