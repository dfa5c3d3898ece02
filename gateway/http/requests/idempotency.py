"""What was asked first under a name that a caller gave: other content under it is refused unsent."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from gateway.http.rendering.problems import ApiError
from gateway.shared.request_builder import PreparedRequest
from outcomes.db.errors import LedgerBusy
from straightline.errors import StraightLineError

LEDGER_RETRY_INTERVAL_S: Final = 5.0
"""Seconds for which a ledger that did not answer is not asked; nobody's request waits for it meanwhile."""
log = logging.getLogger(__name__)

FindDigest = Callable[[str], str | None]
"""From an id to the digest of what was asked first under it, as far as the ledger knows."""


class IdempotencyGuard:
    """Knows, by the ledger, what names stand for. Thread-safe.

    Args:
        content: raises StraightLine's errors where the ledger is away; takes no long time to.
    """

    def __init__(self, content: FindDigest) -> None:
        self._content = content
        self._lock = threading.Lock()
        self._silent_until = 0.0

    def check(self, prepared: PreparedRequest) -> None:
        """Do nothing where a request may be sent: it has no name, is the first, or asks what that did.

        A ledger that is away, or that too many ask in this moment, refuses nothing: then the system tells who
        waits for the answer, and nobody else.

        Raises:
            Refusal: something else was asked under its name.
        """
        if prepared.digest is None or time.monotonic() < self._silent_until:
            return
        try:
            first = self._content(prepared.id)
        except LedgerBusy:
            return  # others ask just now; whether it is away they find out
        except StraightLineError as error:
            with self._lock:
                warned = time.monotonic() < self._silent_until
                self._silent_until = time.monotonic() + LEDGER_RETRY_INTERVAL_S
            if not warned:
                log.warning("known names are not held against their content for now: %s", error)
            return
        if first is not None and first != prepared.digest:
            raise ApiError(
                409,
                "conflict",
                f"the id {prepared.id} was used before for other content, which stands. Send this request "
                "with an id of its own, or an idempotency key of its own.",
                request_id=prepared.id,
            )
