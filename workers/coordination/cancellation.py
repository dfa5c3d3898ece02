"""Cancelled requests, and the running ones: cancelling a running request ends it at once."""

import threading
from collections.abc import Callable, Iterable

from straightline.support.bounded_set import BoundedSet
from workers.domain.placements import Work

OnCancelRunning = Callable[[Work, float], None]


class CancellationTracker:
    """Decides whether a request's result or its cancellation came first. Thread-safe.

    Args:
        clock: seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._cancelled = BoundedSet()
        self._ended_early = BoundedSet()  # cancelled while running
        self._lock = threading.Lock()  # guards _running
        self._running: dict[str, tuple[Work, float]] = {}
        self._on_cancel: OnCancelRunning | None = None

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._cancelled

    def on_cancel_running(self, callback: OnCancelRunning) -> None:
        """Set the callback for a request that is cancelled while it runs; called with its start time."""
        self._on_cancel = callback

    def started(self, works: Iterable[Work]) -> None:
        """Register requests as running."""
        now = self._clock()
        with self._lock:
            self._running.update((work.request.id, (work, now)) for work in works)

    def finished(self, work: Work) -> bool:
        """Unregister a request, and return whether its result counts: False if a cancellation came first."""
        with self._lock:
            # After a lost connection a request may run twice.
            self._running.pop(work.request.id, None)
            return work.request.id not in self._ended_early

    def all_running(self) -> list[tuple[Work, float]]:
        """Return the running requests that were not cancelled, each with the time of its start."""
        with self._lock:
            return [found for id_, found in self._running.items() if id_ not in self._ended_early]

    def cancel(self, request_id: str) -> None:
        """Cancel a request, running or yet to come."""
        self._cancelled.add(request_id)
        # Held during the callback, so that no result is reported before the cancellation is sent.
        with self._lock:
            found = self._running.get(request_id)
            if found is not None and self._on_cancel is not None and request_id not in self._ended_early:
                self._ended_early.add(request_id)
                self._on_cancel(*found)
