"""Expired leases in the table of placements: find them, settle them, check them again later."""

from collections.abc import Collection, Iterable
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, text

from outcomes.db.translation import translated
from outcomes.resolutions.lease_expiry import ExpiredLease, LeaseKey
from outcomes.resolutions.synthetic_outcomes import LOST

# Find the oldest expired leases, with the ids that have no outcome and those that ended as lost.
# The inner LIMIT keeps Postgres from flattening the lookup: one key probe per id, in the partition of its
# day.
FIND_EXPIRED: Final = text(
    """
    WITH due AS (
        SELECT * FROM placements WHERE due_at <= to_timestamp(:now) ORDER BY due_at LIMIT :limit
    ), ids AS (
        SELECT task_id, part,
            array_agg(id::text) FILTER (WHERE error_class IS NULL) AS missing,
            array_agg(id::text) FILTER (WHERE error_class = :lost) AS lost
        FROM due CROSS JOIN unnest(request_ids) AS u (id)
        LEFT JOIN LATERAL (
            SELECT coalesce(o.error_class, '') AS error_class FROM outcomes o WHERE o.request_id = id LIMIT 1
        ) AS recorded ON true
        GROUP BY task_id, part
    )
    SELECT task_id::text, part, missing, lost,
        CASE WHEN missing IS NOT NULL OR lost IS NOT NULL THEN request_ids::text[] END AS ids,
        backend, model, version, class, batch_id, attempt, checks, replies,
        extract(epoch FROM placed_at)::float AS placed_at
    FROM due JOIN ids USING (task_id, part)
    """
)

# Stop checking placements. The bounds of task_id prune partitions.
SETTLE: Final = text(
    """
    UPDATE placements p SET due_at = NULL
    FROM unnest(cast(:tasks AS uuid[]), cast(:parts AS int[])) AS k (task_id, part)
    WHERE p.task_id = k.task_id AND p.part = k.part
        AND p.task_id BETWEEN cast(:low AS uuid) AND cast(:high AS uuid)
    """
)

# Check placements again after :first seconds, doubled at each check, up to :longest.
POSTPONE: Final = text(
    """
    UPDATE placements p SET
        due_at = to_timestamp(:now + least(:longest, :first * 2 ^ least(checks, 30))),
        checks = least(checks + 1, 32000)
    FROM unnest(cast(:tasks AS uuid[]), cast(:parts AS int[])) AS k (task_id, part)
    WHERE p.task_id = k.task_id AND p.part = k.part
        AND p.task_id BETWEEN cast(:low AS uuid) AND cast(:high AS uuid)
    """
)


def expired_leases(connection: Connection, now: float, *, limit: int) -> list[ExpiredLease]:
    """Return placements whose lease ended before `now` (Unix seconds), oldest first.

    Raises:
        LedgerUnavailable, LedgerNotMigrated: see `outcomes.db.translation`.
    """
    with translated():
        parameters = {"now": now, "limit": limit, "lost": LOST}
        rows = connection.execute(FIND_EXPIRED, parameters).mappings().all()
    return [msgspec.convert(dict(row), ExpiredLease) for row in rows]


def settle(connection: Connection, keys: Collection[LeaseKey]) -> None:
    """Record that every request of these placements has its outcome and was answered."""
    if keys:
        with translated():
            connection.execute(SETTLE, _parameters(keys))


def postpone(
    connection: Connection, keys: Collection[LeaseKey], now: float, *, first: float, longest: float
) -> None:
    """Check these placements again in `first` seconds, doubled at each check, up to `longest`."""
    if keys:
        with translated():
            times = {"now": now, "first": first, "longest": longest}
            connection.execute(POSTPONE, _parameters(keys) | times)


def _parameters(keys: Iterable[LeaseKey]) -> dict[str, Any]:
    tasks, parts = zip(*keys, strict=True)
    return {"tasks": list(tasks), "parts": list(parts), "low": min(tasks), "high": max(tasks)}
