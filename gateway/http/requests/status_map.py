"""The latest status event of each unfinished request, from the stream that every gateway follows."""

import threading
import time
from collections.abc import Callable
from typing import Final

from straightline.contracts.status_events import StatusEvent, StatusEvents
from straightline.support.bounded_dict import BoundedDict

MAX_REQUESTS: Final = 20_000
"""Requests that are remembered; above it, the one whose last event is oldest is forgotten."""
LEADER_TIMEOUT_S: Final = 5.0
"""Silence of the leading scheduler after which there is none; it sends an event each second."""
LIVE_SHARE: Final = 0.5
"""Share of the time between two messages that passes between their arrivals unless they are old."""
_RANK: Final = {"accepted": 0, "placed": 1, "running": 2, "held": 3}
"""Order of the states with the same number of attempts: what failed or was given back is held again."""


class StatusMap:
    """Keeps the most advanced event of each request. Thread-safe.

    Args:
        clock: seconds since any fixed moment.
        max_requests: how many are remembered.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, max_requests: int = MAX_REQUESTS) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._latest: BoundedDict[str, StatusEvent] = BoundedDict(max_requests)
        self._leader_seen_at: float | None = None
        self._last_beat: tuple[float, float] | None = None  # when it was sent, and when it arrived
        self.reader_trouble: Callable[[], str | None] = lambda: None
        """Says why the stream cannot be read now; None if it can."""

    def update(self, message: StatusEvents) -> None:
        """Apply a message of the stream."""
        with self._lock:
            if message.leader:
                self._hear_leader(message.at)
            for event in message.events:
                known = self._latest.get(event.id)
                if known is None or _position(event) >= _position(known):
                    self._latest[event.id] = event

    def find(self, request_id: str) -> StatusEvent | None:
        """Return the latest event of a request; None if there is none or it is forgotten."""
        with self._lock:
            return self._latest.get(request_id)

    def drop(self, request_id: str) -> None:
        """Forget a request that has ended."""
        with self._lock:
            self._latest.pop(request_id, None)

    def stale_reason(self) -> str | None:
        """Return why what is known here may be old, for people; None if it is current."""
        trouble = self.reader_trouble()
        if trouble is not None:
            return f"status events cannot be read ({trouble})"
        with self._lock:
            seen = self._leader_seen_at
        if seen is None or self._clock() - seen > LEADER_TIMEOUT_S:
            return "no scheduler leads now"
        return None

    def _hear_leader(self, sent_at: float) -> None:
        """Note a sign of life of the leader, unless it is from the past.

        What the stream has kept arrives faster than it was sent. So a message counts if the time since the
        last one is not much shorter at arrival than at sending; the clocks of the hosts need not agree.
        """
        arrived_at = self._clock()
        if self._last_beat is not None:
            last_sent, last_arrived = self._last_beat
            if sent_at == last_sent:  # another part of the same report
                return
            # An earlier time: read again after a lost connection, or from a leader whose clock is behind.
            elapsed = sent_at - last_sent
            if elapsed > 0 and arrived_at - last_arrived >= LIVE_SHARE * elapsed:
                self._leader_seen_at = arrived_at
        self._last_beat = (sent_at, arrived_at)


def _position(event: StatusEvent) -> tuple[int, int]:
    return event.attempts, _RANK[event.state]
