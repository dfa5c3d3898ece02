"""The last placement of a request."""

from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from psycopg2.errors import QueryCanceled
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from outcomes.db.translation import translated
from outcomes.schema.uuid7_ranges import lowest_id
from straightline.names import Backend

CLOCK_SKEW: Final = timedelta(seconds=10)
"""Difference allowed between the clocks of gateways, producers and schedulers."""
SEARCH_WINDOW: Final = timedelta(hours=24)
"""Placements older than this before the query, or before the request's end, are not searched."""
SEARCH_TIMEOUT_MS: Final = 500
MAX_ID: Final = "ffffffff-ffff-ffff-ffff-ffffffffffff"

# The newest placement of a request among the tasks of a time range. It scans: an index on the ids of a
# placement would cost each placement more than this query is worth.
FIND_LAST: Final = text(
    """
    SELECT backend, model, version, class, batch_id, attempt,
        extract(epoch FROM placed_at)::float AS placed_at
    FROM placements
    WHERE task_id BETWEEN cast(:low AS uuid) AND cast(:high AS uuid)
        AND request_ids @> ARRAY[cast(:id AS uuid)]
    ORDER BY task_id DESC LIMIT 1
    """
)


class LastPlacement(msgspec.Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    """The last placement of a request; fields as in a lease."""

    backend: Backend
    model: str
    attempt: int
    placed_at: float
    version: str | None = None
    class_: str | None = None
    batch_id: str | None = None


def last_placement(
    connection: Connection, request_id: str, since: datetime, until: datetime | None = None
) -> LastPlacement | None:
    """Return where a request was placed last.

    Args:
        connection: to the ledger; its transaction is ended.
        request_id: in canonical form.
        since: its submission or earlier, with a time zone.
        until: its end, with a time zone; None if it has not ended.

    Returns:
        The placement; None if none is recorded or the search took too long.
    """
    high = MAX_ID if until is None else lowest_id(until + CLOCK_SKEW)
    with translated():
        connection.rollback()
        connection.execute(text(f"SET LOCAL statement_timeout = {SEARCH_TIMEOUT_MS}"))
        row = _search(connection, {"id": request_id, "low": lowest_id(since - CLOCK_SKEW), "high": high})
        connection.rollback()
    return None if row is None else msgspec.convert(dict(row), LastPlacement)


def _search(connection: Connection, parameters: dict[str, str]) -> Any:
    try:
        return connection.execute(FIND_LAST, parameters).mappings().first()
    except OperationalError as error:
        if isinstance(error.orig, QueryCanceled):
            return None
        raise
