"""The table of placements: what the recorder writes there."""

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Final

from psycopg2.extras import execute_values
from sqlalchemy import Connection

from outcomes import clean
from straightline.contracts import Lease

_RECORD: Final = (
    "INSERT INTO placements (task_id, part, request_ids, backend, model, version, class, batch_id, attempt,"
    " placed_at, lease, replies, due_at) VALUES %s ON CONFLICT DO NOTHING"
)
_ROW: Final = (
    "(%s::uuid, %s, %s::uuid[], %s, %s, %s, %s, %s, %s, to_timestamp(%s), to_timestamp(%s), %s::jsonb,"
    " to_timestamp(%s))"
)
_ROWS_AT_ONCE: Final = 1_000


def record(connection: Connection, leases: Sequence[Lease]) -> None:
    """Write what was placed; doing it again changes nothing."""
    if not leases:
        return
    # In one order everywhere, so that two recorders never wait for each other.
    rows = sorted(map(_row, leases), key=itemgetter(0, 1))
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor:
        execute_values(cursor, _RECORD, rows, _ROW, page_size=_ROWS_AT_ONCE)


def _row(lease: Lease) -> tuple[Any, ...]:
    until = clean.time(lease.until)
    until = clean.LATEST if until is None else until
    replies = clean.encoded(lease.awaited) if lease.awaited else None
    return (
        lease.task_id,
        clean.whole(lease.part, 16),
        "{" + ",".join(lease.ids) + "}",
        lease.backend,
        clean.text(lease.model),
        clean.text(lease.version),
        lease.class_,
        clean.text(clean.key(lease.batch_id)),
        clean.whole(lease.attempt, 16),
        clean.time(lease.placed_at) or 0.0,
        until,
        None if replies is None else replies.replace(b"\\u0000", b"\\ufffd").decode(),
        until,
    )
