"""The table of placements: what the recorder writes there, and what the reconciler asks of it."""

from collections.abc import Collection, Iterable, Sequence
from operator import itemgetter
from typing import Any, Final

import msgspec
from psycopg2.extras import execute_values
from sqlalchemy import Connection, text

from outcomes.db.database import translated
from outcomes.resolutions.synthetic_outcomes import LOST
from outcomes.rows import sanitize
from straightline.contracts import Lease
from straightline.contracts.lease import ReplyGroup
from straightline.names import Backend, RequestClass

_RECORD: Final = (
    "INSERT INTO placements (task_id, part, request_ids, backend, model, version, class, batch_id, attempt,"
    " placed_at, lease, replies, due_at) VALUES %s ON CONFLICT DO NOTHING"
)
_ROW: Final = (
    "(%s::uuid, %s, %s::uuid[], %s, %s, %s, %s, %s, %s, to_timestamp(%s), to_timestamp(%s), %s::jsonb,"
    " to_timestamp(%s))"
)
_ROWS_AT_ONCE: Final = 1_000

# LIMIT keeps the inner look-up as it stands: one probe of a key for each id, in the partition of its day.
_DUE: Final = text(
    """
    WITH due AS (
        SELECT * FROM placements WHERE due_at <= to_timestamp(:now) ORDER BY due_at LIMIT :most
    ), ids AS (
        SELECT task_id, part,
            array_agg(id::text) FILTER (WHERE error_class IS NULL) AS missing,
            array_agg(id::text) FILTER (WHERE error_class = :lost) AS lost
        FROM due CROSS JOIN unnest(request_ids) AS u (id)
        LEFT JOIN LATERAL (
            SELECT coalesce(o.error_class, '') AS error_class FROM outcomes o WHERE o.request_id = id LIMIT 1
        ) AS standing ON true
        GROUP BY task_id, part
    )
    SELECT task_id::text, part, missing, lost,
        CASE WHEN missing IS NOT NULL OR lost IS NOT NULL THEN request_ids::text[] END AS ids,
        backend, model, version, class, batch_id, attempt, checks, replies,
        extract(epoch FROM placed_at)::float AS placed_at
    FROM due JOIN ids USING (task_id, part)
    """
)
_KEYS: Final = "FROM unnest(cast(:tasks AS uuid[]), cast(:parts AS int[])) AS k (task_id, part)"
_WHERE: Final = (
    "WHERE p.task_id = k.task_id AND p.part = k.part"
    " AND p.task_id BETWEEN cast(:low AS uuid) AND cast(:high AS uuid)"
)
_SETTLE: Final = text(f"UPDATE placements p SET due_at = NULL {_KEYS} {_WHERE}")  # noqa: S608 - our own text
_POSTPONE: Final = text(
    f"UPDATE placements p SET due_at = to_timestamp(:now + least(:longest, :first * 2 ^ least(checks, 30))),"  # noqa: S608
    f" checks = least(checks + 1, 32000) {_KEYS} {_WHERE}"
)

Key = tuple[str, int]
"""Task id and part."""


class ExpiredLease(msgspec.Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    """A placement whose lease has ended.

    Attributes:
        task_id, part: its key.
        missing: ids of its requests that have no outcome.
        lost: ids of those that were found lost, and may not have been answered.
        ids: all of them, in the order of the lease; None where nothing is missing and nothing lost.
        backend, model, version, class_, batch_id, attempt, placed_at: as in the lease.
        checks: how often something was found missing before.
        replies: as `awaited` of the lease.
    """

    task_id: str
    part: int
    backend: Backend
    model: str
    attempt: int
    placed_at: float
    checks: int = 0
    missing: list[str] | None = None
    lost: list[str] | None = None
    ids: list[str] | None = None
    version: str | None = None
    class_: RequestClass | None = None
    batch_id: str | None = None
    replies: list[ReplyGroup] | None = None

    @property
    def key(self) -> Key:
        """What names it in the table."""
        return self.task_id, self.part


def insert_leases(connection: Connection, leases: Sequence[Lease]) -> None:
    """Write what was placed; doing it again changes nothing."""
    if not leases:
        return
    # In one order everywhere, so that two recorders never wait for each other.
    rows = sorted(map(_row, leases), key=itemgetter(0, 1))
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor:
        execute_values(cursor, _RECORD, rows, _ROW, page_size=_ROWS_AT_ONCE)


def expired_leases(connection: Connection, now: float, *, most: int) -> list[ExpiredLease]:
    """Return placements whose lease ended before `now` (seconds since the epoch), the oldest first.

    Raises:
        LedgerUnavailable, LedgerNotMigrated: as `outcomes.db.database` says.
    """
    with translated():
        rows = connection.execute(_DUE, {"now": now, "most": most, "lost": LOST}).mappings().all()
    return [msgspec.convert(dict(row), ExpiredLease) for row in rows]


def mark_settled(connection: Connection, keys: Collection[Key]) -> None:
    """Note that every request of these placements has its outcome, and was answered."""
    if keys:
        with translated():
            connection.execute(_SETTLE, _parameters(keys))


def postpone(
    connection: Connection, keys: Collection[Key], now: float, *, first: float, longest: float
) -> None:
    """Look at these placements later: after `first` seconds, and twice as long each time, up to `longest`."""
    if keys:
        with translated():
            connection.execute(
                _POSTPONE, {**_parameters(keys), "now": now, "first": first, "longest": longest}
            )


def _parameters(keys: Iterable[Key]) -> dict[str, Any]:
    tasks, parts = zip(*keys, strict=True)
    return {"tasks": list(tasks), "parts": list(parts), "low": min(tasks), "high": max(tasks)}


def _row(lease: Lease) -> tuple[Any, ...]:
    until = sanitize.time(lease.until)
    until = sanitize.MAX_TIME_S if until is None else until
    replies = sanitize.json_column(lease.awaited) if lease.awaited else None
    return (
        lease.task_id,
        sanitize.integer(lease.part, 16),
        "{" + ",".join(lease.ids) + "}",
        lease.backend,
        sanitize.text(lease.model),
        sanitize.text(lease.version),
        lease.class_,
        sanitize.text(sanitize.key(lease.batch_id)),
        sanitize.integer(lease.attempt, 16),
        sanitize.time(lease.placed_at) or 0.0,
        until,
        None if replies is None else replies.replace(b"\\u0000", b"\\ufffd").decode(),
        until,
    )
