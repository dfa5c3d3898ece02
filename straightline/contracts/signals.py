"""Signals between workers and scheduler. Any may be lost: the next one replaces it."""

from typing import Annotated, Final

import msgspec

from straightline.names import Backend, State

Count = Annotated[int, msgspec.Meta(ge=0)]
Interval = Annotated[float, msgspec.Meta(gt=0, le=60)]


MAX_MISSED_HEARTBEATS: Final = 3
"""A worker counts as down after this many missed heartbeats."""
FORGET_AFTER_HEARTBEATS: Final = 60
"""A worker is removed after this many missed heartbeats."""


class Heartbeat(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The state of one worker's pool, sent every `interval` seconds.

    Attributes:
        backend: the pool's backend.
        worker: node name of the Celery worker.
        sent_at: seconds since the epoch.
        interval: seconds until the next heartbeat, at most 60.
        slots: maximum number of concurrent requests.
        active: requests it has now, running or reserved.
        healthy: whether its backend can answer.
        reason: why it is not healthy, for people.
        models: names of the models deployed there; None if the backend takes any.
        max_payload: maximum size of `data` in bytes; None without limit.
        best_cases: recent minimum latency in seconds by model; models without a result are absent.
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
        id: the request's id.
        state: its final state, or None for a failed attempt.
        service: seconds in the backend.
        fault: error class of a backend fault that ended the request, since no time was left for another
            attempt.
    """

    id: str
    state: State | None = None
    service: float = 0.0
    fault: str | None = None


class Feedback(msgspec.Struct, kw_only=True):
    """Slots that a worker has freed."""

    backend: Backend
    worker: str
    done: list[Completion]


class BreakerState(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The state of a circuit breaker, sent when it changes, and every second while it is open.

    Attributes:
        backend: the breaker's backend.
        model: the breaker's model; None for the whole backend.
        open: whether it admits probes only.
        why: why it is open, for people.
        at: seconds since the epoch.
    """

    backend: Backend
    open: bool
    at: float
    model: str | None = None
    why: str | None = None
