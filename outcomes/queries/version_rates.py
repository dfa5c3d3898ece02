"""How often the versions of models fail: a canary beside the version that the others get."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, func, select

from outcomes.db.translation import translated
from outcomes.queries.cold import cold_starts
from outcomes.queries.rates import badness, rates
from outcomes.schema.tables import ATTEMPTS, OUTCOMES
from straightline.contracts import FailureRate

Key = tuple[str, str]
"""Model and version."""
_NAME: Final = (OUTCOMES.c.model, OUTCOMES.c.version)


def version_rates(
    connection: Connection, since: datetime, until: datetime | None = None, *, model: str | None = None
) -> dict[Key, FailureRate]:
    """Return the rates of every version that answered or failed, by model and version.

    Attempts of requests that have not ended yet are not among them: the outcome says which version it was.

    Args:
        connection: to the ledger.
        since: from when on; with a time zone.
        until: before when; None for now.
        model: this one alone; None for all.

    Raises:
        LedgerUnavailable, LedgerNotMigrated, LedgerRefused: see `outcomes.db.translation`.
    """
    scope = _scope(since, until or datetime.now(UTC), None if model is None else {model})
    with translated():
        return _joined(connection.execute(_tried(scope)).all(), connection.execute(_ended(scope)).all())


def several_versions(
    connection: Connection, since: datetime, until: datetime, *, model: str | None = None
) -> list[FailureRate]:
    """Return the rates of the versions of those models of which several were asked, worst first.

    Each is named by its model and its version.

    Raises:
        LedgerUnavailable, LedgerNotMigrated, LedgerRefused: see `outcomes.db.translation`.
    """
    with translated():
        ended = connection.execute(_ended(_scope(since, until, None if model is None else {model}))).all()
        count = Counter(name for name, _ in {(row[0], row[1]) for row in ended})
        several = {name for name, versions in count.items() if versions > 1}
        if not several:
            return []
        tried = connection.execute(_tried(_scope(since, until, several))).all()
    found = _joined(tried, [row for row in ended if row[0] in several])
    named = [
        msgspec.structs.replace(rate, name=f"{name} {version}") for (name, version), rate in found.items()
    ]
    return sorted(named, key=badness)


def _scope(since: datetime, until: datetime, models: set[str] | None) -> list[ColumnElement[bool]]:
    scope = [OUTCOMES.c.finished_at >= since, OUTCOMES.c.finished_at < until, OUTCOMES.c.version.is_not(None)]
    return scope if models is None else [*scope, OUTCOMES.c.model.in_(sorted(models))]


def _ended(scope: list[ColumnElement[bool]]) -> Select[Any]:
    how = (OUTCOMES.c.error_class, OUTCOMES.c.state, OUTCOMES.c.attempts > 0)
    return select(*_NAME, *how, func.count()).where(*scope).group_by(*_NAME, *how)


def _tried(scope: list[ColumnElement[bool]]) -> Select[Any]:
    what = (ATTEMPTS.c.error_class, ATTEMPTS.c.succeeded)
    return (
        select(*_NAME, *what, func.count(), *cold_starts())
        .select_from(OUTCOMES)
        .join(ATTEMPTS, ATTEMPTS.c.request_id == OUTCOMES.c.request_id)
        .where(*scope)
        .group_by(*_NAME, *what)
    )


def _joined(tried: Iterable[Any], ended: Iterable[Any]) -> dict[Key, FailureRate]:
    tries: dict[Key, list[Any]] = {}
    ends: dict[Key, list[Any]] = {}
    for model, version, *rest in tried:
        tries.setdefault((model, version), []).append((version, *rest))
    for model, version, *rest in ended:
        ends.setdefault((model, version), []).append((version, *rest))
    return {key: rates(tries.get(key, ()), ends.get(key, ()))[0] for key in {*tries, *ends}}
