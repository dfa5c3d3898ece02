"""Status events of the requests that this pool runs."""

import threading
from collections.abc import Callable
from typing import Final

from straightline.contracts.status_events import StatusEvent, in_messages
from straightline.messages.signals import status_events_message
from straightline.support.event_log import EventLogger
from workers.coordination.cancellation import CancellationTracker
from workers.domain.outcomes import PoolIdentity
from workers.domain.placements import Work
from workers.reporting.messages import Sender

logger = EventLogger(__name__)

REPORT_INTERVAL_S: Final = 0.25
"""Time between two looks at what runs. A request that ends before the second look costs no event."""


class StatusReporter:
    """Publishes a `running` event for each request that runs for a while, from a thread of its own.

    Args:
        sender: publishes.
        pool: this pool.
        running: knows what runs.
        clock: seconds since the epoch.
    """

    def __init__(
        self, sender: Sender, pool: PoolIdentity, running: CancellationTracker, clock: Callable[[], float]
    ) -> None:
        self._sender = sender
        self._pool = pool
        self._running = running
        self._clock = clock
        self._reported: set[str] = set()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="status", daemon=True)

    def start(self) -> None:
        """Begin to report."""
        self._thread.start()

    def stop(self) -> None:
        """Stop reporting."""
        self._stopped.set()
        self._thread.join()

    def report(self) -> None:
        """Publish an event for each request that runs longer than the interval and has none yet."""
        now = self._clock()
        long = {
            work.request.id: (work, since)
            for work, since in self._running.all_running()
            if now - since >= REPORT_INTERVAL_S
        }
        fresh = [running_event(*long[id_], self._pool, now) for id_ in long if id_ not in self._reported]
        self._reported = set(long)
        for events in in_messages(fresh, at=now):
            self._sender.publish(status_events_message(events))

    def _run(self) -> None:
        while not self._stopped.wait(REPORT_INTERVAL_S):
            try:
                self.report()
            except Exception:  # a missing event must not end the thread
                logger.exception("status_events_not_published")


def running_event(work: Work, since: float, pool: PoolIdentity, now: float) -> StatusEvent:
    """Return the event that a request runs here since `since` (seconds since the epoch)."""
    ticket = work.ticket
    return StatusEvent(
        id=work.request.id,
        state="running",
        at=now,
        model=work.request.model,
        version=ticket.version,
        class_=work.request.class_,
        batch_id=work.request.batch_id,
        backend=pool.backend,
        worker=pool.worker,
        attempts=len(ticket.attempts) + 1,
        failed=ticket.attempts,
        reason=ticket.reason,
        submitted_at=ticket.submitted_at,
        placed_at=ticket.placed_at,
        started_at=since,
        deadline=ticket.deadline,
    )
