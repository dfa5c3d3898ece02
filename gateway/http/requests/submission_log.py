"""Background writer that records accepted requests in the ledger, so that every process knows them."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from outcomes.db.bisect_write import write_with_bisection
from outcomes.db.errors import LedgerRefused
from outcomes.queries.submissions import Submission
from straightline.errors import StraightLineError
from straightline.support.event_log import EventLogger

log = EventLogger(__name__)

MAX_PENDING: Final = 10_000
"""Submissions queued while the ledger is unavailable; further ones are dropped."""
WRITE_BATCH_SIZE: Final = 500
WRITE_TIMEOUT_S: Final = 0.25
"""Time that a caller waits for the write, so that any process can answer the next request of the caller."""
RETRY_INTERVAL_S: Final = 1.0
"""Time until a failed write is retried; callers do not wait meanwhile."""

WriteSubmissions = Callable[[Sequence[Submission]], None]
"""Writes submissions to the ledger, all or none."""
_Pending = tuple[Submission, threading.Event]


class SubmissionLog:
    """Writes submissions in batches on its own thread. Thread-safe.

    Args:
        write: writes a batch. A `StraightLineError` is retried; `LedgerRefused` and other exceptions drop the
            submissions that cause them, which are found by bisection.
        write_timeout_s: longest time that `add` waits.
    """

    def __init__(self, write: WriteSubmissions, *, write_timeout_s: float = WRITE_TIMEOUT_S) -> None:
        self._write = write
        self._write_timeout_s = write_timeout_s
        self._waiting: queue.Queue[_Pending] = queue.Queue(MAX_PENDING)
        self._away = False  # unavailable or hanging
        self._warned = False
        threading.Thread(target=self._run, name="submissions", daemon=True).start()

    def add(self, submission: Submission, *, wait: bool = True) -> None:
        """Record a request; never raises.

        Args:
            submission: the record.
            wait: whether to wait until it is written, at most for the time-out.
        """
        written = threading.Event()
        try:
            self._waiting.put_nowait((submission, written))
        except queue.Full:
            return
        if wait and not self._away and not written.wait(self._write_timeout_s):
            self._away = True  # callers do not wait until a write succeeds again

    def _run(self) -> None:
        while True:
            taken = [self._waiting.get()]
            while len(taken) < WRITE_BATCH_SIZE and not self._waiting.empty():
                taken.append(self._waiting.get())  # this thread is the only consumer
            while not self._written(taken):
                time.sleep(RETRY_INTERVAL_S)

    def _written(self, taken: Sequence[_Pending]) -> bool:
        try:
            _, refused = write_with_bisection([submission for submission, _ in taken], self._all_or_none)
        except StraightLineError as error:
            if not self._warned:
                log.warning("submissions_not_recorded", error=error)
            self._away = self._warned = True
            return False
        for submission, reason in refused:
            log.warning("submission_dropped", request_id=submission.id, reason=reason)
        for _, written in taken:
            written.set()
        self._away = self._warned = False
        return True

    def _all_or_none(self, submissions: Sequence[Submission]) -> None:
        try:
            self._write(submissions)
        except StraightLineError:
            raise
        except Exception as error:
            if len(submissions) == 1:
                log.exception("submission_failed")
            raise LedgerRefused(f"unexpected error: {type(error).__name__}") from error
