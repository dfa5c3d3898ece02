"""How often the versions of models fail: a canary beside the version that the others get."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, and_, func, select

from outcomes.database import translated
from outcomes.rates import rates
from outcomes.tables import ATTEMPTS, OUTCOMES
from straightline.contracts import FailureRate

Key = tuple[str, str]
"""Model and version."""


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
        LedgerUnavailable, LedgerNotMigrated, LedgerRefused: as `outcomes.database` says.
    """
    until = until or datetime.now(UTC)
    scope = [OUTCOMES.c.finished_at >= since, OUTCOMES.c.finished_at < until, OUTCOMES.c.version.is_not(None)]
    if model is not None:
        scope.append(OUTCOMES.c.model == model)
    name = (OUTCOMES.c.model, OUTCOMES.c.version)
    how = (OUTCOMES.c.error_class, OUTCOMES.c.state, OUTCOMES.c.attempts > 0)
    ended = select(*name, *how, func.count()).where(*scope).group_by(*name, *how)
    what = (ATTEMPTS.c.error_class, ATTEMPTS.c.succeeded)
    tried = (
        select(*name, *what, func.count())
        .select_from(OUTCOMES)
        .join(ATTEMPTS, and_(ATTEMPTS.c.request_id == OUTCOMES.c.request_id))
        .where(*scope)
        .group_by(*name, *what)
    )
    with translated():
        return _joined(connection.execute(tried).all(), connection.execute(ended).all())


def _joined(tried: Iterable[Any], ended: Iterable[Any]) -> dict[Key, FailureRate]:
    tries: dict[Key, list[Any]] = {}
    ends: dict[Key, list[Any]] = {}
    for model, version, *rest in tried:
        tries.setdefault((model, version), []).append((version, *rest))
    for model, version, *rest in ended:
        ends.setdefault((model, version), []).append((version, *rest))
    return {key: rates(tries.get(key, ()), ends.get(key, ()))[0] for key in {*tries, *ends}}
