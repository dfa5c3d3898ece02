"""What workers tell the scheduler now and then; each may be lost, the next one mends it."""

from typing import Annotated, Final

import msgspec

from straightline.names import Backend, State

Count = Annotated[int, msgspec.Meta(ge=0)]
Interval = Annotated[float, msgspec.Meta(gt=0, le=60)]


MAX_MISSED_HEARTBEATS: Final = 3
"""Heartbeats that may be missed before a worker counts as gone."""
FORGET_AFTER_HEARTBEATS: Final = 60
"""Heartbeats that may be missed before it is forgotten."""


class Heartbeat(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The state of one worker's pool, sent every `interval` seconds.

    Attributes:
        backend: which backend the pool drives.
        worker: the Celery worker's node name.
        sent_at: seconds since the epoch.
        interval: seconds until the next one, a minute at most.
        slots: requests it can take at once.
        active: requests it has now (running, or reserved).
        healthy: whether its backend can answer.
        reason: why not, for people.
        models: names of the models deployed there; None where the backend takes any.
        max_payload: largest `data` in bytes that it takes; None without limit.
        best_cases: by model, seconds of its fastest answer lately; one that has not answered is not there.
        closing: True in the last heartbeat of a worker that stops.
    """

    backend: Backend
    worker: str
    sent_at: float
    interval: Interval
    slots: Count
    active: Count
    healthy: bool
    reason: str | None = None
    models: list[str] | None = None
    max_payload: Count | None = None
    best_cases: dict[str, float] = {}
    closing: bool = False


class Completion(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A request that left a pool.

    Attributes:
        id: of the request.
        state: final, or None for a failed attempt.
        service: seconds in the backend.
        fault: what the backend did wrong, where the request ended by it since its deadline left no time for
            another attempt.
    """

    id: str
    state: State | None = None
    service: float = 0.0
    fault: str | None = None


class Feedback(msgspec.Struct, kw_only=True):
    """Slots that a worker has free again."""

    backend: Backend
    worker: str
    done: list[Completion]


class BreakerState(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How a breaker stands: told when it changes, and once a second while it is open.

    Attributes:
        backend: whose.
        model: of which model there; None for the whole backend.
        open: whether it lets only probes through.
        why: why it is open, for people.
        at: seconds since the epoch.
    """

    backend: Backend
    open: bool
    at: float
    model: str | None = None
    why: str | None = None
