"""Requests that this process took and that have no outcome here yet, so that their status can be told."""

import threading
from typing import Final

from gateway.shared.request_builder import PreparedRequest
from straightline.contracts import RequestStatus
from straightline.support.bounded_dict import BoundedDict

MAX_REQUESTS: Final = 10_000
"""Above it the oldest are forgotten; the ledger has them when they end."""


class RecentRequests:
    """A bounded memory, oldest first. Thread-safe."""

    def __init__(self, max_requests: int = MAX_REQUESTS) -> None:
        self._lock = threading.Lock()
        self._known: BoundedDict[str, RequestStatus] = BoundedDict(max_requests)

    def add(self, prepared: PreparedRequest) -> None:
        """Note that the broker has, or is getting, a request."""
        status = RequestStatus(
            id=prepared.id,
            state="accepted",
            model=prepared.model,
            submitted_at=prepared.submitted_at,
            deadline=prepared.deadline,
        )
        with self._lock:
            self._known[prepared.id] = status

    def drop(self, request_id: str) -> None:
        """Forget a request whose end is known, or that was never submitted."""
        with self._lock:
            self._known.pop(request_id, None)

    def status(self, request_id: str) -> RequestStatus | None:
        """Return what is known; None where nothing is."""
        with self._lock:
            return self._known.get(request_id)
