"""Status events: how far unfinished requests came, as schedulers and pools publish it."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from straightline.contracts.ticket import Attempt, Reason
from straightline.names import Backend, RequestClass, Stage

MAX_EVENTS: Final = 64
"""Events in one message."""


class StatusEvent(msgspec.Struct, kw_only=True, omit_defaults=True, rename={"class_": "class"}):
    """The state of one unfinished request at one moment.

    Attributes:
        id: the request's id.
        state: how far it came.
        at: when that was so, in seconds since the epoch.
        model, version, class_, batch_id: as in the request; `version` as resolved by the scheduler.
        backend: where it is placed.
        worker: node name of the Celery worker that runs it.
        attempts: placements tried, the current one included.
        failed: the placements that failed.
        reason: why it was placed on `backend`.
        held_reason: why no backend has it.
        submitted_at, held_since, placed_at, started_at, deadline: seconds since the epoch.
    """

    id: str
    state: Stage
    at: float
    model: str | None = None
    version: str | None = None
    class_: RequestClass | None = None
    batch_id: str | None = None
    backend: Backend | None = None
    worker: str | None = None
    attempts: int = 0
    failed: list[Attempt] = []
    reason: Reason | None = None
    held_reason: str | None = None
    submitted_at: float | None = None
    held_since: float | None = None
    placed_at: float | None = None
    started_at: float | None = None
    deadline: float | None = None


class StatusEvents(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The message on `straightline.status`.

    The leading scheduler sends one at least every second, empty if need be: gateways know that it leads.

    Attributes:
        at: when it was sent, in seconds since the epoch.
        leader: whether the leading scheduler sent it; otherwise a pool did.
        events: 0..n events.
    """

    at: float
    leader: bool = False
    events: list[StatusEvent] = []


def in_messages(events: Sequence[StatusEvent], *, at: float, leader: bool = False) -> Iterator[StatusEvents]:
    """Spread events over messages of at most `MAX_EVENTS` each; without events there is no message."""
    for start in range(0, len(events), MAX_EVENTS):
        yield StatusEvents(at=at, leader=leader, events=list(events[start : start + MAX_EVENTS]))
