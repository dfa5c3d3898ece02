"""Status events of the requests that the scheduler has: which ones to publish, and when."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from scheduler.lifecycle import Stage
from straightline.contracts.status_events import StatusEvent, StatusEvents, in_messages

REPORT_DELAY_S: Final = 0.2
"""Age of a state before it is reported: most requests end sooner and cost no event."""
REFRESH_INTERVAL_S: Final = 2.0
"""Time between two comparisons of held requests' reasons with those last reported."""
LEADER_INTERVAL_S: Final = 1.0
"""Longest silence of a leader; an empty message says that it still leads."""

Snapshot = Callable[[float], Callable[[str], StatusEvent | None]]
"""Returns a function from an id to the state of that request: None if it has ended or is unknown."""
Held = Callable[[float], Iterable[StatusEvent]]
"""Returns the requests held in memory, with their reasons."""


class StatusFeed:
    """Remembers requests whose state changed and reports those that stay in it.

    Args:
        snapshot: looks requests up.
        held: returns the requests held in memory.
    """

    def __init__(self, snapshot: Snapshot, held: Held) -> None:
        self._snapshot = snapshot
        self._held = held
        self._due: dict[str, float] = {}  # ordered by time, since the delay is the same for all
        self._held_reasons: dict[str, str | None] = {}
        self._refresh_at = 0.0
        self._sent_at = 0.0

    def on_transition(self, request_id: str, stage: Stage, now: float) -> None:
        """Note that a request was placed, held, delayed or ended."""
        if stage == "ended":
            self._due.pop(request_id, None)
        else:
            self._due.setdefault(request_id, now + REPORT_DELAY_S)

    def clear(self) -> None:
        """Forget everything: another scheduler leads."""
        self._due.clear()
        self._held_reasons.clear()

    def tick(self, now: float) -> Iterator[StatusEvents]:
        """Return the messages to publish now.

        Args:
            now: seconds since the epoch.
        """
        events = [*self._fresh(now), *self._changed_reasons(now)]
        if events or now - self._sent_at >= LEADER_INTERVAL_S or now < self._sent_at:
            self._sent_at = now
            yield from (
                in_messages(events, at=now, leader=True) if events else [StatusEvents(at=now, leader=True)]
            )

    def _fresh(self, now: float) -> Iterator[StatusEvent]:
        due = []
        for request_id, at in self._due.items():
            if now < at <= now + REPORT_DELAY_S:  # a later one was noted before the clock was set back
                break
            due.append(request_id)
        if not due:
            return
        find = self._snapshot(now)
        for request_id in due:
            del self._due[request_id]
            event = find(request_id)
            if event is not None:
                if event.state == "held":
                    self._held_reasons[request_id] = event.held_reason
                yield event

    def _changed_reasons(self, now: float) -> Iterator[StatusEvent]:
        """Report held requests whose reason is another one than last reported."""
        if 0.0 <= now - self._refresh_at < REFRESH_INTERVAL_S:
            return
        self._refresh_at = now
        known, self._held_reasons = self._held_reasons, {}
        for event in self._held(now):
            if event.id in known:
                self._held_reasons[event.id] = event.held_reason
                if known[event.id] != event.held_reason:
                    yield event
