"""Status of any request: from the status events before its end, from the ledger after it."""

from typing import Final, NamedTuple

import msgspec

from gateway.http.rendering.problems import RETRY_AFTER_S, ApiError
from gateway.http.requests.status_map import StatusMap
from gateway.http.requests.unfinished_placement import unanswered, with_placement
from gateway.shared.request_status import status_of
from outcomes.db.pool import LedgerPool
from outcomes.queries.last_placement import LastPlacement
from outcomes.queries.outcomes import outcome_of
from outcomes.queries.submissions import Submission, find_submission
from straightline.contracts import Outcome, RequestStatus, StatusEvent
from straightline.ids import canonical

_SHARED: Final = tuple(
    name for name in StatusEvent.__struct_fields__ if name in RequestStatus.__struct_fields__ and name != "id"
)
"""Members that a status has in common with an event."""


class FoundStatus(NamedTuple):
    """The status of a request, and its latest event while it is unfinished."""

    status: RequestStatus
    event: StatusEvent | None = None


class StatusLookup:
    """Finds the status of requests. Thread-safe.

    Args:
        ledger: outcomes and submissions.
        placement_ledger: placements; few connections and short time-outs, since it reads much.
        events: the latest status events.
    """

    def __init__(self, *, ledger: LedgerPool, placement_ledger: LedgerPool, events: StatusMap) -> None:
        self._ledger = ledger
        self._placement_ledger = placement_ledger
        self._events = events

    def find(self, request_id: str) -> FoundStatus:
        """Return the status of a request.

        Raises:
            ApiError: the request is unknown: 404, or 503 if status events may be missing.
            LedgerUnavailable, LedgerNotMigrated: the ledger cannot be queried.
        """
        event = self._events.find(request_id)  # first: a request that ends meanwhile is in the ledger
        outcome = self.outcome(request_id)
        if outcome is not None:
            self._events.drop(request_id)
            return FoundStatus(with_placement(status_of(outcome), self.unanswered_placement(outcome)))
        status = self._unfinished(request_id, event)
        stale = self._events.stale_reason()
        if status is None:
            raise _not_found(request_id, stale)
        note = None if stale is None else f"{stale}: this is what was known before"
        return FoundStatus(msgspec.structs.replace(status, note=note), event)

    def unfinished(self, request_id: str) -> RequestStatus | None:
        """Return the status of a request without an outcome; None if the request is unknown.

        Raises:
            LedgerUnavailable, LedgerNotMigrated: the ledger cannot be queried.
        """
        return self._unfinished(request_id, self._events.find(request_id))

    def _unfinished(self, request_id: str, event: StatusEvent | None) -> RequestStatus | None:
        with self._ledger.connection() as connection:
            submission = find_submission(connection, request_id)
        if event is None:
            return None if submission is None else _submitted(submission)
        known = {name: value for name in _SHARED if (value := getattr(event, name))}
        if submission is None:
            return RequestStatus(id=request_id, **known)
        return msgspec.structs.replace(_submitted(submission), **known)

    def outcome(self, request_id: str) -> Outcome | None:
        """Return the recorded outcome; None if there is none yet.

        Raises:
            LedgerUnavailable, LedgerNotMigrated: the ledger cannot be queried.
        """
        with self._ledger.connection() as connection:
            return outcome_of(connection, request_id)

    def unanswered_placement(self, outcome: Outcome) -> LastPlacement | None:
        """Return the last placement if the outcome has no attempt for it, and the ledger answers quickly."""
        return unanswered(self._placement_ledger, outcome)


def identity_of(text: str) -> str:
    """Return the canonical form of a request id.

    Raises:
        ApiError: 404, it is not a UUID.
    """
    identity = canonical(text)
    if identity is None:
        raise ApiError(404, "unknown_request", f"{text[:64]!r} is not a request id: they are UUIDs")
    return identity


def _not_found(request_id: str, stale: str | None) -> ApiError:
    if stale is None:
        return ApiError(404, "unknown_request", f"request {request_id} is unknown", request_id=request_id)
    return ApiError(
        503,
        "nobody_to_ask",
        f"request {request_id} is not in the ledger, and {stale}: try again later",
        request_id=request_id,
        retry_after=RETRY_AFTER_S,
    )


def _submitted(submission: Submission) -> RequestStatus:
    return RequestStatus(
        id=submission.id,
        state="accepted",
        model=submission.model,
        submitted_at=submission.submitted_at,
        deadline=submission.deadline,
    )
