"""Requests that gateways accepted, so that any gateway can report an unfinished one.

They are written beside the path of a request, never on it: a missing row costs an answer to a status query,
never a request.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, delete, func, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from outcomes.db.translation import translated
from outcomes.schema.tables import OUTCOMES, SUBMISSIONS

RETENTION_AFTER_END: Final = timedelta(hours=1)
"""Time that a submission stays after its deadline, as its outcome may wait for the recorder."""
PURGE_BATCH_SIZE: Final = 10_000
"""Rows deleted by one statement, which must end within the reconciler's statement timeout."""
MIN_TIME_S: Final = datetime(1970, 1, 1, tzinfo=UTC).timestamp()
MAX_TIME_S: Final = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
"""Unix seconds between which a time is a date in any time zone; a request may state any number."""


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted request.

    Attributes:
        id, model: as in the request.
        submitted_at: Unix seconds.
        deadline: Unix seconds; None if its class decides.
        until: Unix seconds by which it has ended in any case.
        digest: of its content, if the caller chose its id or idempotency key.
    """

    id: str
    model: str
    submitted_at: float
    deadline: float | None
    until: float
    digest: str | None = None


def insert_submissions(connection: Connection, submissions: Sequence[Submission]) -> None:
    """Insert submissions, all or nothing; an id that is there already is left unchanged.

    See `row_of` for times that are not dates.

    Raises:
        LedgerUnavailable, LedgerNotMigrated: not now.
        LedgerRefused: a value can never be written.
    """
    if not submissions:
        return
    rows = [row_of(each) for each in sorted(submissions, key=lambda each: each.id)]
    with translated():
        # A server crash may lose these hints, so the commit need not wait for the disk.
        connection.execute(text("SET LOCAL synchronous_commit = off"))
        connection.execute(upsert(SUBMISSIONS).values(rows).on_conflict_do_nothing())
        connection.commit()


def find_submission(connection: Connection, request_id: str) -> Submission | None:
    """Return the submission of a request, by its id in canonical form; None if there is none."""
    with translated():
        row = connection.execute(select(SUBMISSIONS).where(SUBMISSIONS.c.id == request_id)).mappings().first()
    if row is None:
        return None
    return Submission(
        id=row["id"],
        model=row["model"],
        submitted_at=row["submitted_at"].timestamp(),
        deadline=None if row["deadline"] is None else row["deadline"].timestamp(),
        until=row["until"].timestamp(),
        digest=row["digest"],
    )


def content_digest(connection: Connection, request_id: str) -> str | None:
    """Return the digest of the content first submitted under an id; None if unknown.

    Args:
        connection: to the ledger.
        request_id: in canonical form.
    """
    finished = select(OUTCOMES.c.digest).where(OUTCOMES.c.request_id == request_id)
    accepted = select(SUBMISSIONS.c.digest).where(SUBMISSIONS.c.id == request_id)
    first = select(func.coalesce(finished.scalar_subquery(), accepted.scalar_subquery()))
    with translated():
        found = connection.execute(first).scalar_one()
    return None if found is None else str(found)


def purge_submissions(connection: Connection, now: datetime, *, batch_size: int = PURGE_BATCH_SIZE) -> int:
    """Delete submissions that ended long ago, and return their number.

    Args:
        connection: in autocommit, so that each batch commits on its own.
        now: with a time zone.
        batch_size: maximum rows of one statement.
    """
    ended = select(SUBMISSIONS.c.id).where(SUBMISSIONS.c.until < now - RETENTION_AFTER_END)
    statement = delete(SUBMISSIONS).where(SUBMISSIONS.c.id.in_(ended.limit(batch_size)))
    total = 0
    with translated():
        while deleted := connection.execute(statement).rowcount:
            total += deleted
    return total


def row_of(submission: Submission) -> dict[str, Any]:
    """Return the row of a submission; a time that is not a date becomes the nearest one."""
    row = msgspec.structs.asdict(submission)
    for name in ("submitted_at", "deadline", "until"):
        row[name] = None if row[name] is None else _date(row[name])
    return row


def _date(seconds: float) -> datetime:
    return datetime.fromtimestamp(min(max(seconds, MIN_TIME_S), MAX_TIME_S), UTC)
