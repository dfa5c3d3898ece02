"""Requests that a gateway took and nobody waits for there: what any gateway tells of one that has not ended.

It is told beside the way of a request, never on it: what is missing here costs a caller the answer to a
question, and nobody his request.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from psycopg2.errors import QueryCanceled
from sqlalchemy import Connection, delete, func, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import OperationalError

from outcomes.db.translation import translated
from outcomes.schema.tables import OUTCOMES, SUBMISSIONS
from outcomes.schema.uuid7_ranges import lowest_id
from straightline.names import Backend

CLOCK_SKEW: Final = timedelta(seconds=10)
"""How far the clocks of gateways, producers and schedulers may differ here."""
SEARCH_WINDOW: Final = timedelta(hours=24)
"""Placements so long before the question, or the end of the request, are not searched."""
SEARCH_TIMEOUT_MS: Final = 500
"""Milliseconds that the search for a placement may take: rows since the submission, the last one first."""
RETENTION_AFTER_END: Final = timedelta(hours=1)
"""After its deadline a submission stays so long, as its outcome may wait for the recorder."""
PURGE_BATCH_SIZE: Final = 10_000
"""Rows deleted by one statement, which must end within the time that the reconciler's may take."""
MIN_TIME_S: Final = datetime(1970, 1, 1, tzinfo=UTC).timestamp()
MAX_TIME_S: Final = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
"""Seconds since the epoch between which a time is a date in any time zone; a contract takes any number."""

MAX_ID: Final = "ffffffff-ffff-ffff-ffff-ffffffffffff"
"""No id is above it."""

# No index knows the ids of a placement: it would cost each placement more than this question is worth.
_PLACED: Final = text(
    "SELECT backend, model, version, class, batch_id, attempt,"
    " extract(epoch FROM placed_at)::float AS placed_at FROM placements"
    " WHERE task_id BETWEEN cast(:low AS uuid) AND cast(:high AS uuid)"
    " AND request_ids @> ARRAY[cast(:id AS uuid)]"
    " ORDER BY task_id DESC LIMIT 1"
)


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """A request that was taken.

    Attributes:
        id, model: as in the request.
        submitted_at: seconds since the epoch.
        deadline: likewise; None takes the class's.
        until: when it has ended, or is told of no more; seconds since the epoch.
        digest: of its content, where the caller named it by an id or a key.
    """

    id: str
    model: str
    submitted_at: float
    deadline: float | None
    until: float
    digest: str | None = None


class LastPlacement(msgspec.Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    """Where a request was placed last; its fields are those of a lease."""

    backend: Backend
    model: str
    attempt: int
    placed_at: float
    version: str | None = None
    class_: str | None = None
    batch_id: str | None = None


def insert_submissions(connection: Connection, submissions: Sequence[Submission]) -> None:
    """Write what was taken, all of it or nothing; of an id that is there already, what stands stays.

    See `row_of` for times that are no dates.

    Raises:
        LedgerUnavailable, LedgerNotMigrated: not now.
        LedgerRefused: a value in it can never be written.
    """
    if not submissions:
        return
    rows = [row_of(each) for each in sorted(submissions, key=lambda each: each.id)]
    with translated():
        # What a crash of the server takes with it is a hint: nobody waits for the disk.
        connection.execute(text("SET LOCAL synchronous_commit = off"))
        connection.execute(upsert(SUBMISSIONS).values(rows).on_conflict_do_nothing())
        connection.commit()


def find_submission(connection: Connection, request_id: str) -> Submission | None:
    """Return what was written of a request, by its id in canonical form; None where nothing was."""
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
    """Return the digest of what was asked first under an id, by its outcome or by its note; None if unknown.

    Args:
        connection: to the ledger.
        request_id: in canonical form.
    """
    ended = select(OUTCOMES.c.digest).where(OUTCOMES.c.request_id == request_id)
    taken = select(SUBMISSIONS.c.digest).where(SUBMISSIONS.c.id == request_id)
    with translated():
        found = connection.execute(
            select(func.coalesce(ended.scalar_subquery(), taken.scalar_subquery()))
        ).scalar_one()
    return None if found is None else str(found)


def last_placement(
    connection: Connection, request_id: str, since: datetime, until: datetime | None = None
) -> LastPlacement | None:
    """Return where a request was placed last.

    Args:
        connection: to the ledger; its transaction is ended.
        request_id: in canonical form.
        since: not before it was submitted; with a time zone.
        until: when it ended, likewise; None where it has not.

    Returns:
        Where; None where no placement of it was recorded, or the search took too long.
    """
    high = MAX_ID if until is None else lowest_id(until + CLOCK_SKEW)
    with translated():
        connection.rollback()
        connection.execute(text(f"SET LOCAL statement_timeout = {SEARCH_TIMEOUT_MS}"))
        row = _found(connection, {"id": request_id, "low": lowest_id(since - CLOCK_SKEW), "high": high})
        connection.rollback()
    return None if row is None else msgspec.convert(dict(row), LastPlacement)


def purge_submissions(connection: Connection, now: datetime, *, piece: int = PURGE_BATCH_SIZE) -> int:
    """Delete what has ended long ago, and return how many it was; the connection commits by itself.

    Args:
        connection: in autocommit, so that no piece waits for the next.
        now: with a time zone.
        piece: most rows of a statement.
    """
    ended = select(SUBMISSIONS.c.id).where(SUBMISSIONS.c.until < now - RETENTION_AFTER_END)
    statement = delete(SUBMISSIONS).where(SUBMISSIONS.c.id.in_(ended.limit(piece)))
    gone = 0
    with translated():
        while deleted := connection.execute(statement).rowcount:
            gone += deleted
    return gone


def _found(connection: Connection, values: dict[str, str]) -> Any:
    try:
        return connection.execute(_PLACED, values).mappings().first()
    except OperationalError as error:
        if isinstance(error.orig, QueryCanceled):
            return None
        raise


def row_of(submission: Submission) -> dict[str, Any]:
    """Return what is written of a submission; a time that is no date becomes the nearest one."""
    made = msgspec.structs.asdict(submission)
    for name in ("submitted_at", "deadline", "until"):
        made[name] = None if made[name] is None else _date(made[name])
    return made


def _date(seconds: float) -> datetime:
    return datetime.fromtimestamp(min(max(seconds, MIN_TIME_S), MAX_TIME_S), UTC)
