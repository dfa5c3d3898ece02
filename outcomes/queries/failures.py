"""Failure rates of backends, models and versions within a window."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, func, select

from outcomes.db.translation import translated
from outcomes.queries.query_results import Failures
from outcomes.queries.rates import AttemptCount, OutcomeCount, rates
from outcomes.queries.version_rates import several_versions
from outcomes.schema.tables import ATTEMPTS, OUTCOMES
from straightline.contracts import FailureRate


def failures(
    connection: Connection, since: datetime, until: datetime | None = None, *, model: str | None = None
) -> Failures:
    """Return failure rates of backends and models, by attempts and by final outcomes.

    Args:
        connection: to the ledger.
        since: start of the window, with a time zone.
        until: end of the window; None for now.
        model: restrict to one model; None for all.

    Raises:
        LedgerUnavailable, LedgerNotMigrated, LedgerRefused: see `outcomes.db.translation`.
    """
    until = until or datetime.now(UTC)
    return Failures(
        since=since,
        until=until,
        by_backend=_rates(connection, "backend", since, until, model),
        by_model=_rates(connection, "model", since, until, model),
        by_version=several_versions(connection, since, until, model=model),
    )


def _rates(
    connection: Connection, key: str, since: datetime, until: datetime, model: str | None
) -> list[FailureRate]:
    def count(
        table: Table, *keys: ColumnElement[Any], sums: Iterable[ColumnElement[Any]] = ()
    ) -> Select[Any]:
        columns = (table.c[key], table.c.error_class, *keys)
        statement = (
            select(*columns, func.count(), *sums)
            .where(table.c.finished_at >= since, table.c.finished_at < until)
            .group_by(*columns)
        )
        return statement if model is None else statement.where(table.c.model == model)

    cold = ATTEMPTS.c.cold_start
    cold_sums = (func.count(cold), func.coalesce(func.sum(cold), 0.0))
    with translated():
        attempts = connection.execute(count(ATTEMPTS, ATTEMPTS.c.succeeded, sums=cold_sums)).all()
        outcomes = connection.execute(count(OUTCOMES, OUTCOMES.c.state, OUTCOMES.c.attempts > 0)).all()
    return rates([AttemptCount(*row) for row in attempts], [OutcomeCount(*row) for row in outcomes])
