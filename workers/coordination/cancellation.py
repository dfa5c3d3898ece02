"""Which requests were cancelled, and which are being worked: one that is cancelled then ends at once."""

import threading
from collections.abc import Callable, Iterable

from straightline.support.bounded_set import BoundedSet
from workers.execution.placements import Work

EndEarly = Callable[[Work, float], None]


class CancellationTracker:
    """Settles between an answer and a cancellation which comes first. Thread-safe.

    Args:
        clock: seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._cancelled = BoundedSet()
        self._ended = BoundedSet()  # of them, those that ended while in work
        self._lock = threading.Lock()  # guards what is in work
        self._running: dict[str, tuple[Work, float]] = {}
        self._end_early: EndEarly | None = None

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._cancelled

    def on_cancel_running(self, end_early: EndEarly) -> None:
        """Have `end_early` called with a request that is cancelled while in work, and since when it was."""
        self._end_early = end_early

    def started(self, works: Iterable[Work]) -> None:
        """These are in work from now on."""
        now = self._clock()
        with self._lock:
            self._running.update((work.request.id, (work, now)) for work in works)

    def finished(self, work: Work) -> bool:
        """It has a verdict; returns whether that may stand: False where a cancellation came first."""
        with self._lock:
            self._running.pop(
                work.request.id, None
            )  # a request may be in work twice, after a lost connection
            return work.request.id not in self._ended

    def running(self, request_id: str) -> tuple[Work, float] | None:
        """Return a request that is in work, and since when; None where it is not, or has ended meanwhile."""
        with self._lock:
            return None if request_id in self._ended else self._running.get(request_id)

    def cancel(self, request_id: str) -> None:
        """Take back a request, in work or yet to come."""
        self._cancelled.add(request_id)
        with self._lock:  # until its end is on its way: nobody else reports it meanwhile
            found = self._running.get(request_id)
            if found is not None and self._end_early is not None and request_id not in self._ended:
                self._ended.add(request_id)
                self._end_early(*found)
