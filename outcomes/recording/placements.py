"""Writes leases into the table of placements."""

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Final

from psycopg2.extras import execute_values
from sqlalchemy import Connection

from outcomes.rows import sanitize
from straightline.contracts import Lease

# Insert placements; one that is there stays. execute_values puts the rows in place of %s.
INSERT_PLACEMENTS: Final = """
    INSERT INTO placements (
        task_id, part, request_ids, backend, model, version, class, batch_id, attempt,
        placed_at, lease, replies, due_at
    ) VALUES %s ON CONFLICT DO NOTHING
"""
ROW_TEMPLATE: Final = """(
    %s::uuid, %s, %s::uuid[], %s, %s, %s, %s, %s, %s,
    to_timestamp(%s), to_timestamp(%s), %s::jsonb, to_timestamp(%s)
)"""
MAX_ROWS_PER_STATEMENT: Final = 1_000


def insert_leases(connection: Connection, leases: Sequence[Lease]) -> None:
    """Write leases; repeating it changes nothing."""
    if not leases:
        return
    # One order everywhere, so that two recorders never deadlock.
    rows = sorted(map(_row, leases), key=itemgetter(0, 1))
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor:
        execute_values(cursor, INSERT_PLACEMENTS, rows, ROW_TEMPLATE, page_size=MAX_ROWS_PER_STATEMENT)


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
