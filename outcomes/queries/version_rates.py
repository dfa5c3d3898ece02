"""Failure rates of model versions, as of a canary beside the default version."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, func, select

from outcomes.db.translation import translated
from outcomes.queries.rates import AttemptCount, OutcomeCount, rates, worst_first
from outcomes.schema.tables import ATTEMPTS, OUTCOMES
from straightline.contracts import FailureRate

Version = tuple[str, str]
"""Model and version."""
_VERSION: Final = (OUTCOMES.c.model, OUTCOMES.c.version)


def version_rates(
    connection: Connection, since: datetime, until: datetime | None = None, *, model: str | None = None
) -> dict[Version, FailureRate]:
    """Return the rates of every version with outcomes, by model and version.

    Attempts of unfinished requests are not counted: only the outcome names the version.

    Args:
        connection: to the ledger.
        since: start of the window, with a time zone.
        until: end of the window; None for now.
        model: restrict to one model; None for all.

    Raises:
        LedgerUnavailable, LedgerNotMigrated, LedgerRefused: see `outcomes.db.translation`.
    """
    scope = _scope(since, until or datetime.now(UTC), None if model is None else {model})
    with translated():
        attempts = connection.execute(_count_attempts(scope)).all()
        return _joined(attempts, connection.execute(_count_outcomes(scope)).all())


def several_versions(
    connection: Connection, since: datetime, until: datetime, *, model: str | None = None
) -> list[FailureRate]:
    """Return the rates of versions, for models with outcomes of several, worst first.

    Each is named by model and version.

    Raises:
        LedgerUnavailable, LedgerNotMigrated, LedgerRefused: see `outcomes.db.translation`.
    """
    with translated():
        scope = _scope(since, until, None if model is None else {model})
        outcomes = connection.execute(_count_outcomes(scope)).all()
        versions = Counter(name for name, _ in {(row[0], row[1]) for row in outcomes})
        several = {name for name, count in versions.items() if count > 1}
        if not several:
            return []
        attempts = connection.execute(_count_attempts(_scope(since, until, several))).all()
    found = _joined(attempts, [row for row in outcomes if row[0] in several])
    named = [
        msgspec.structs.replace(rate, name=f"{name} {version}") for (name, version), rate in found.items()
    ]
    return sorted(named, key=worst_first)


def _scope(since: datetime, until: datetime, models: set[str] | None) -> list[ColumnElement[bool]]:
    scope = [OUTCOMES.c.finished_at >= since, OUTCOMES.c.finished_at < until, OUTCOMES.c.version.is_not(None)]
    return scope if models is None else [*scope, OUTCOMES.c.model.in_(sorted(models))]


def _count_outcomes(scope: list[ColumnElement[bool]]) -> Select[Any]:
    keys = (*_VERSION, OUTCOMES.c.error_class, OUTCOMES.c.state, OUTCOMES.c.attempts > 0)
    return select(*keys, func.count()).where(*scope).group_by(*keys)


def _count_attempts(scope: list[ColumnElement[bool]]) -> Select[Any]:
    keys = (*_VERSION, ATTEMPTS.c.error_class, ATTEMPTS.c.succeeded)
    cold = ATTEMPTS.c.cold_start
    return (
        select(*keys, func.count(), func.count(cold), func.coalesce(func.sum(cold), 0.0))
        .select_from(OUTCOMES)
        .join(ATTEMPTS, ATTEMPTS.c.request_id == OUTCOMES.c.request_id)
        .where(*scope)
        .group_by(*keys)
    )


def _joined(attempts: Iterable[Any], outcomes: Iterable[Any]) -> dict[Version, FailureRate]:
    tried: dict[Version, list[AttemptCount]] = {}
    ended: dict[Version, list[OutcomeCount]] = {}
    for model, version, *rest in attempts:
        tried.setdefault((model, version), []).append(AttemptCount(version, *rest))
    for model, version, *rest in outcomes:
        ended.setdefault((model, version), []).append(OutcomeCount(version, *rest))
    return {key: rates(tried.get(key, ()), ended.get(key, ()))[0] for key in {*tried, *ended}}
