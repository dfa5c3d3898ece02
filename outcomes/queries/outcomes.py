"""The questions that the ledger is asked, by name; each takes an open connection and writes nothing.

    with connected(url) as connection:
        print(summary(connection, ids=accepted))

All raise `LedgerUnavailable`, `LedgerNotMigrated` or `LedgerRefused`, see `outcomes.db.translation`.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final, get_args

from sqlalchemy import Column, ColumnElement, Connection, Select, Table, func, select

from outcomes.db.sql_params import in_ids, uuid_array
from outcomes.db.translation import translated
from outcomes.queries.cold import cold_starts
from outcomes.queries.query_results import BackendSummary, DuplicateRequests, Failures, Summary
from outcomes.queries.rates import rates
from outcomes.queries.version_rates import several_versions
from outcomes.rows.row_mapping import outcome_from
from outcomes.schema.tables import ATTEMPTS, DUPLICATE_OUTCOMES, DUPLICATE_REQUESTS, OUTCOMES
from straightline.contracts import FailureRate, Outcome
from straightline.errors import ContractError
from straightline.ids import canonical
from straightline.names import BACKENDS, State

RULES: Final = (1, 2, 3, 4, 5)


def failures(
    connection: Connection, since: datetime, until: datetime | None = None, *, model: str | None = None
) -> Failures:
    """Say how often each backend and each model failed, by attempts and by final outcomes.

    Args:
        connection: to the ledger.
        since: from when on; with a time zone.
        until: before when; None for now.
        model: this one alone; None for all.
    """
    until = until or datetime.now(UTC)
    return Failures(
        since=since,
        until=until,
        by_backend=_rates(connection, "backend", since, until, model),
        by_model=_rates(connection, "model", since, until, model),
        by_version=several_versions(connection, since, until, model=model),
    )


def summary(
    connection: Connection,
    *,
    ids: Iterable[str] | None = None,
    batch_id: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Summary:
    """Count what became of requests; the arguments narrow which ones, and none of them means all.

    Args:
        connection: to the ledger.
        ids: just these requests; those without an outcome are counted as lost.
        batch_id: of this batch job.
        since: finished from then on; with a time zone.
        until: finished before then.

    Raises:
        ContractError: one of `ids` is no UUID.
    """
    wanted = None if ids is None else sorted({_canonical(text) for text in ids})
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
            duplicates=_number(connection, DUPLICATE_OUTCOMES, scope),
            repeats=_number(connection, DUPLICATE_REQUESTS, scope),
        )


def outcome_of(connection: Connection, request_id: str) -> Outcome | None:
    """Return the outcome of a request as it was delivered, its attempts included; None where there is none.

    Raises:
        ContractError: `request_id` is no UUID.
    """
    return outcomes_of(connection, [request_id]).get(_canonical(request_id))


def outcomes_of(connection: Connection, request_ids: Iterable[str]) -> dict[str, Outcome]:
    """Return the outcomes of several requests by their ids; those without one are absent.

    Raises:
        ContractError: one of the ids is no UUID.
    """
    ids = {_canonical(text) for text in request_ids}
    if not ids:
        return {}
    tried = select(ATTEMPTS).where(in_ids(ATTEMPTS.c.request_id, ids)).order_by(ATTEMPTS.c.number)
    with translated():
        attempts: dict[str, list[Any]] = {}
        for row in connection.execute(tried).mappings():
            attempts.setdefault(row["request_id"], []).append(row)
        rows = connection.execute(select(OUTCOMES).where(in_ids(OUTCOMES.c.request_id, ids))).mappings()
        return {row["request_id"]: outcome_from(row, attempts.get(row["request_id"], [])) for row in rows}


def duplicate_requests_of(connection: Connection, request_id: str) -> DuplicateRequests:
    """Say how often the id of a request was submitted again.

    Raises:
        ContractError: `request_id` is no UUID.
    """
    counts = select(func.count(), func.count().filter(DUPLICATE_REQUESTS.c.conflict))
    with translated():
        row = connection.execute(
            counts.where(DUPLICATE_REQUESTS.c.request_id == _canonical(request_id))
        ).one()
    return DuplicateRequests(*row)


def _rates(
    connection: Connection, key: str, since: datetime, until: datetime, model: str | None
) -> list[FailureRate]:
    def within(
        table: Table, *extra: ColumnElement[Any], also: Iterable[ColumnElement[Any]] = ()
    ) -> Select[Any]:
        columns = (table.c[key], table.c.error_class, *extra)
        statement = (
            select(*columns, func.count(), *also)
            .where(table.c.finished_at >= since, table.c.finished_at < until)
            .group_by(*columns)
        )
        return statement if model is None else statement.where(table.c.model == model)

    with translated():
        tried = connection.execute(within(ATTEMPTS, ATTEMPTS.c.succeeded, also=cold_starts())).all()
        ended = connection.execute(within(OUTCOMES, OUTCOMES.c.state, OUTCOMES.c.attempts > 0)).all()
    return rates([tuple(row) for row in tried], [tuple(row) for row in ended])


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


def _number(connection: Connection, table: Table, scope: Select[Any]) -> int:
    statement = select(func.count()).select_from(table).where(table.c.request_id.in_(scope))
    return connection.execute(statement).scalar_one()


def _by_backend(connection: Connection, scope: Select[Any]) -> dict[str, BackendSummary]:
    tried = (
        select(
            ATTEMPTS.c.backend,
            func.count().label("placed"),
            func.count().filter(~ATTEMPTS.c.succeeded).label("failed"),
        )
        .where(ATTEMPTS.c.request_id.in_(scope))
        .group_by(ATTEMPTS.c.backend)
    )
    latency = func.extract("epoch", OUTCOMES.c.finished_at - OUTCOMES.c.submitted_at) * 1000
    took = (
        select(
            OUTCOMES.c.backend,
            func.percentile_cont(0.5).within_group(latency),
            func.percentile_cont(0.95).within_group(latency),
        )
        .where(OUTCOMES.c.request_id.in_(scope), OUTCOMES.c.state == "succeeded")
        .group_by(OUTCOMES.c.backend)
    )
    placed = {backend: (count, failed) for backend, count, failed in connection.execute(tried)}
    times = {backend: (p50, p95) for backend, p50, p95 in connection.execute(took)}
    return {
        backend: BackendSummary(
            placed=placed.get(backend, (0, 0))[0],
            failed=placed.get(backend, (0, 0))[1],
            p50_ms=times.get(backend, (None, None))[0],
            p95_ms=times.get(backend, (None, None))[1],
        )
        for backend in BACKENDS
    }


def _canonical(text: str) -> str:
    found = canonical(text)
    if found is None:
        raise ContractError(f"{text!r} is not a UUID")
    return found
