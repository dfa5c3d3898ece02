"""Rejection of an id or idempotency key that was used for other content."""

import threading
import time
from collections.abc import Callable
from typing import Final

from gateway.http.rendering.problems import ApiError
from gateway.shared.request_builder import PreparedRequest
from outcomes.db.errors import LedgerBusy
from straightline.errors import StraightLineError
from straightline.support.event_log import EventLogger

LEDGER_RETRY_INTERVAL_S: Final = 5.0
"""Time without look-ups after the ledger did not answer, so that requests do not wait for it."""
log = EventLogger(__name__)

FindDigest = Callable[[str], str | None]
"""Looks up the digest of the first request with an id; None if the ledger has none."""


class IdempotencyGuard:
    """Compares requests with the first one of their id. Thread-safe.

    Args:
        find_digest: looks up the first request; it must return or raise `StraightLineError` quickly, since
            requests wait for it.
    """

    def __init__(self, find_digest: FindDigest) -> None:
        self._find_digest = find_digest
        self._lock = threading.Lock()
        self._silent_until = 0.0

    def check(self, prepared: PreparedRequest) -> None:
        """Check that the id of a request was not used for other content.

        Requests pass while the ledger is unavailable or overloaded; the scheduler then detects the conflict.

        Raises:
            ApiError: 409, the id was used for other content.
        """
        if prepared.digest is None or time.monotonic() < self._silent_until:
            return
        try:
            first = self._find_digest(prepared.id)
        except LedgerBusy:
            return  # overloaded for a moment, not unavailable
        except StraightLineError as error:
            with self._lock:
                warned = time.monotonic() < self._silent_until
                self._silent_until = time.monotonic() + LEDGER_RETRY_INTERVAL_S
            if not warned:
                log.warning("idempotency_not_checked", error=error)
            return
        if first is not None and first != prepared.digest:
            raise ApiError(
                409,
                "conflict",
                f"the id {prepared.id} was already used for other content: use another id or idempotency key",
                request_id=prepared.id,
            )
