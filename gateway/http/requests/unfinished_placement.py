"""The last placement of a request that ended before the backend answered, which its outcome lacks."""

from datetime import UTC, datetime

import msgspec

from outcomes.db.errors import LedgerNotMigrated, LedgerUnavailable
from outcomes.db.pool import LedgerPool
from outcomes.queries.last_placement import SEARCH_WINDOW, LastPlacement, last_placement
from outcomes.schema.uuid7_ranges import created_at
from straightline.contracts import Outcome, RequestStatus


def unanswered(placement_ledger: LedgerPool, outcome: Outcome) -> LastPlacement | None:
    """Return the last placement of a request if its outcome has no attempt for it.

    Returns:
        The placement; None if there is none or the ledger does not answer quickly.
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
    """Add the placement that the outcome lacks to a status."""
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
    """Return the period of a missing placement; None if none can be missing or the period is unknown."""
    tried = outcome.attempts
    if outcome.state == "succeeded" or (tried and tried[-1].finished_at >= outcome.finished_at):
        return None
    until = datetime.fromtimestamp(outcome.finished_at, UTC)
    since = created_at(outcome.request_id)
    if outcome.submitted_at is not None:
        since = datetime.fromtimestamp(outcome.submitted_at, UTC)
    return None if since is None else (max(since, until - SEARCH_WINDOW), until)
