"""Outcomes by request id."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, func, select

from outcomes.db.sql_params import in_ids
from outcomes.db.translation import translated
from outcomes.queries.query_results import DuplicateRequests
from outcomes.rows.row_mapping import outcome_from
from outcomes.schema.tables import ATTEMPTS, DUPLICATE_REQUESTS, OUTCOMES
from straightline.contracts import Outcome
from straightline.errors import ContractError
from straightline.ids import canonical


def outcome_of(connection: Connection, request_id: str) -> Outcome | None:
    """Return a request's outcome as it was delivered, with its attempts; None if there is none.

    Raises:
        ContractError: `request_id` is not a UUID.
        LedgerUnavailable, LedgerNotMigrated, LedgerRefused: see `outcomes.db.translation`.
    """
    return outcomes_of(connection, [request_id]).get(canonical_id(request_id))


def outcomes_of(connection: Connection, request_ids: Iterable[str]) -> dict[str, Outcome]:
    """Return the outcomes of several requests by id; ids without one are absent.

    Raises:
        ContractError: an id is not a UUID.
        LedgerUnavailable, LedgerNotMigrated, LedgerRefused: see `outcomes.db.translation`.
    """
    ids = {canonical_id(text) for text in request_ids}
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
    """Return how often a request's id was submitted again.

    Raises:
        ContractError: `request_id` is not a UUID.
        LedgerUnavailable, LedgerNotMigrated, LedgerRefused: see `outcomes.db.translation`.
    """
    table = DUPLICATE_REQUESTS
    counts = select(func.count(), func.count().filter(table.c.conflict))
    with translated():
        row = connection.execute(counts.where(table.c.request_id == canonical_id(request_id))).one()
    return DuplicateRequests(*row)


def canonical_id(text: str) -> str:
    """Return an id in canonical form.

    Raises:
        ContractError: it is not a UUID.
    """
    found = canonical(text)
    if found is None:
        raise ContractError(f"invalid request id {text!r}: not a UUID")
    return found
