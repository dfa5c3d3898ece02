"""Totals of a set of requests: states, backends, rules, duplicates."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, get_args

from sqlalchemy import Column, Connection, Select, Table, func, select

from outcomes.db.sql_params import uuid_array
from outcomes.db.translation import translated
from outcomes.queries.outcomes import canonical_id
from outcomes.queries.query_results import BackendSummary, Summary
from outcomes.schema.tables import ATTEMPTS, DUPLICATE_OUTCOMES, DUPLICATE_REQUESTS, OUTCOMES
from straightline.names import BACKENDS, State

RULES: Final = (1, 2, 3, 4, 5)


def summary(
    connection: Connection,
    *,
    ids: Iterable[str] | None = None,
    batch_id: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Summary:
    """Count requests by how they ended. Each argument narrows the set; without any, all are counted.

    Args:
        connection: to the ledger.
        ids: these requests; those without an outcome count as lost.
        batch_id: requests of this batch job.
        since: finished from then on, with a time zone.
        until: finished before then.

    Raises:
        ContractError: an id is not a UUID.
        LedgerUnavailable, LedgerNotMigrated, LedgerRefused: see `outcomes.db.translation`.
    """
    wanted = None if ids is None else sorted({canonical_id(text) for text in ids})
    scope = _scope(wanted, batch_id, since, until)
    with translated():
        by_state = _counts(connection, OUTCOMES, OUTCOMES.c.state, scope)
        by_rule = _counts(connection, ATTEMPTS, ATTEMPTS.c.rule, scope)
        count = sum(by_state.values())
        return Summary(
            outcomes=count,
            by_state={state: by_state.get(state, 0) for state in get_args(State)},
            by_backend=_by_backend(connection, scope),
            by_rule=dict.fromkeys(RULES, 0) | by_rule,
            lost=None if wanted is None else len(wanted) - count,
            duplicates=_count(connection, DUPLICATE_OUTCOMES, scope),
            repeats=_count(connection, DUPLICATE_REQUESTS, scope),
        )


def _scope(
    ids: list[str] | None, batch_id: str | None, since: datetime | None, until: datetime | None
) -> Select[Any]:
    statement = select(OUTCOMES.c.request_id)
    if ids is not None:
        statement = statement.where(OUTCOMES.c.request_id.in_(select(func.unnest(uuid_array(ids)))))
    if batch_id is not None:
        statement = statement.where(OUTCOMES.c.batch_id == batch_id)
    if since is not None:
        statement = statement.where(OUTCOMES.c.finished_at >= since)
    if until is not None:
        statement = statement.where(OUTCOMES.c.finished_at < until)
    return statement


def _counts(connection: Connection, table: Table, key: Column[Any], scope: Select[Any]) -> dict[Any, int]:
    statement = select(key, func.count()).where(table.c.request_id.in_(scope)).group_by(key)
    return {row[0]: row[1] for row in connection.execute(statement) if row[0] is not None}


def _count(connection: Connection, table: Table, scope: Select[Any]) -> int:
    statement = select(func.count()).select_from(table).where(table.c.request_id.in_(scope))
    return connection.execute(statement).scalar_one()


def _by_backend(connection: Connection, scope: Select[Any]) -> dict[str, BackendSummary]:
    placed = {row[0]: (row[1], row[2]) for row in connection.execute(_attempts_by_backend(scope))}
    times = {row[0]: (row[1], row[2]) for row in connection.execute(_latency_by_backend(scope))}
    return {
        backend: BackendSummary(
            placed=placed.get(backend, (0, 0))[0],
            failed=placed.get(backend, (0, 0))[1],
            p50_ms=times.get(backend, (None, None))[0],
            p95_ms=times.get(backend, (None, None))[1],
        )
        for backend in BACKENDS
    }


def _attempts_by_backend(scope: Select[Any]) -> Select[Any]:
    return (
        select(ATTEMPTS.c.backend, func.count(), func.count().filter(~ATTEMPTS.c.succeeded))
        .where(ATTEMPTS.c.request_id.in_(scope))
        .group_by(ATTEMPTS.c.backend)
    )


def _latency_by_backend(scope: Select[Any]) -> Select[Any]:
    latency_ms = func.extract("epoch", OUTCOMES.c.finished_at - OUTCOMES.c.submitted_at) * 1000
    return (
        select(
            OUTCOMES.c.backend,
            func.percentile_cont(0.5).within_group(latency_ms),
            func.percentile_cont(0.95).within_group(latency_ms),
        )
        .where(OUTCOMES.c.request_id.in_(scope), OUTCOMES.c.state == "succeeded")
        .group_by(OUTCOMES.c.backend)
    )
