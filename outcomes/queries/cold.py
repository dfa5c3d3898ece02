"""Cold starts in a query over attempts."""

from sqlalchemy import ColumnElement, func

from outcomes.schema.tables import ATTEMPTS


def cold_starts() -> tuple[ColumnElement[int], ColumnElement[float]]:
    """Return the columns that count attempts with a cold start, and sum up its seconds."""
    cold = ATTEMPTS.c.cold_start
    return func.count(cold), func.coalesce(func.sum(cold), 0.0)
