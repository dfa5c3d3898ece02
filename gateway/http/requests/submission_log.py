"""Tells the ledger what this process took, several requests at once and beside their way."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from outcomes.db.bisect_write import write_with_bisection
from outcomes.db.errors import LedgerRefused
from outcomes.queries.submissions import Submission
from straightline.errors import StraightLineError

log = logging.getLogger(__name__)

MAX_PENDING: Final = 10_000
"""Notes that wait while the ledger is away; further ones are let go."""
WRITE_BATCH_SIZE: Final = 500
WRITE_TIMEOUT_S: Final = 0.25
"""Seconds that a caller waits for his note, so that what he asks next is answered by any process."""
RETRY_INTERVAL_S: Final = 1.0
"""Seconds until a ledger that was away is tried again; nobody waits for it meanwhile."""

WriteSubmissions = Callable[[Sequence[Submission]], None]
"""Writes notes into the ledger."""
_Pending = tuple[Submission, threading.Event]


class SubmissionLog:
    """Writes notes on a thread of its own. Thread-safe.

    Args:
        keep: writes all of them or none. What it raises of StraightLine's errors is tried again, but for
            `LedgerRefused`: that and any other fault cost the notes that bring them about, and no others.
        write_timeout_s: seconds that `add` waits at most.
    """

    def __init__(self, keep: WriteSubmissions, *, write_timeout_s: float = WRITE_TIMEOUT_S) -> None:
        self._keep = keep
        self._write_timeout_s = write_timeout_s
        self._waiting: queue.Queue[_Pending] = queue.Queue(MAX_PENDING)
        self._away = False  # or says nothing
        self._warned = False
        threading.Thread(target=self._run, name="notes", daemon=True).start()

    def add(self, submission: Submission, *, wait: bool = True) -> None:
        """Note a request, and return when the note is written, or will not be for a while; never raises.

        Args:
            submission: the note.
            wait: False returns at once.
        """
        written = threading.Event()
        try:
            self._waiting.put_nowait((submission, written))
        except queue.Full:
            return
        if wait and not self._away and not written.wait(self._write_timeout_s):
            self._away = True  # it may hang for long: the next ones need not find that out again

    def _run(self) -> None:
        while True:
            taken = [self._waiting.get()]
            while len(taken) < WRITE_BATCH_SIZE and not self._waiting.empty():
                taken.append(self._waiting.get())  # nobody else takes any
            while not self._written(taken):
                time.sleep(RETRY_INTERVAL_S)

    def _written(self, taken: Sequence[_Pending]) -> bool:
        try:
            _, refused = write_with_bisection([submission for submission, _ in taken], self._all_or_none)
        except StraightLineError as error:
            if not self._warned:
                log.warning("what was taken is told by this process alone for now: %s", error)
            self._away = self._warned = True
            return False
        for submission, reason in refused:
            log.warning("the note of request %s is let go: %s", submission.id, reason)
        for _, written in taken:
            written.set()
        self._away = self._warned = False
        return True

    def _all_or_none(self, submissions: Sequence[Submission]) -> None:
        try:
            self._keep(submissions)
        except StraightLineError:
            raise
        except Exception as error:
            if len(submissions) == 1:
                log.exception("a note met an unexpected fault")
            raise LedgerRefused(f"an unexpected fault: {type(error).__name__}") from error
