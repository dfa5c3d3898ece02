"""Placements of which an outcome tells nothing: the request ended before anything came from there."""

from datetime import UTC, datetime

import msgspec

from outcomes.db.errors import LedgerNotMigrated, LedgerUnavailable
from outcomes.db.pool import LedgerPool
from outcomes.queries.last_placement import SEARCH_WINDOW, LastPlacement, last_placement
from outcomes.schema.uuid7_ranges import created_at
from straightline.contracts import Outcome, RequestStatus


def unanswered(placement_ledger: LedgerPool, outcome: Outcome) -> LastPlacement | None:
    """Return where a request was placed last, where its outcome has no attempt there.

    None where there is no such placement, or where that cannot be told soon.
    """
    window = _window(outcome)
    if window is None:
        return None
    try:
        with placement_ledger.connection() as connection:
            found = last_placement(connection, outcome.request_id, *window)
    except (LedgerUnavailable, LedgerNotMigrated):
        return None
    return found if found is not None and found.attempt > len(outcome.attempts) else None


def with_placement(status: RequestStatus, last: LastPlacement | None) -> RequestStatus:
    """Return the status with the placement that its outcome tells nothing of."""
    if last is None:
        return status
    return msgspec.structs.replace(
        status,
        model=status.model or last.model,
        version=status.version or last.version,
        backend=last.backend,
        attempts=last.attempt,
        placed_at=last.placed_at,
    )


def _window(outcome: Outcome) -> tuple[datetime, datetime] | None:
    """Return when it may have been placed; None where that is told already, or nothing tells."""
    tried = outcome.attempts
    if outcome.state == "succeeded" or (tried and tried[-1].finished_at >= outcome.finished_at):
        return None
    until = datetime.fromtimestamp(outcome.finished_at, UTC)
    since = created_at(outcome.request_id)
    if outcome.submitted_at is not None:
        since = datetime.fromtimestamp(outcome.submitted_at, UTC)
    return None if since is None else (max(since, until - SEARCH_WINDOW), until)
