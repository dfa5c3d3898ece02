"""Live workers of each backend, from their heartbeats."""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from straightline.contracts import BackendEntry, BackendList, Heartbeat, WorkerEntry
from straightline.contracts.parsing.decoding import decode
from straightline.contracts.signals import FORGET_AFTER_HEARTBEATS, MAX_MISSED_HEARTBEATS
from straightline.errors import ContractError
from straightline.names import BACKENDS, Backend


class _LastHeartbeat(NamedTuple):
    beat: Heartbeat
    at: float


class WorkerDirectory:
    """The last heartbeat of every worker. Thread-safe.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._heard: dict[tuple[Backend, str], _LastHeartbeat] = {}

    def update(self, body: bytes) -> None:
        """Apply a heartbeat; an unreadable one is ignored."""
        try:
            beat = decode(body, Heartbeat)
        except ContractError:
            return
        with self._lock:
            if beat.closing:
                self._heard.pop((beat.backend, beat.worker), None)
            else:
                self._heard[(beat.backend, beat.worker)] = _LastHeartbeat(beat, self._clock())

    def report(self) -> BackendList:
        """Return every backend with its workers, sorted by name."""
        now = self._clock()
        with self._lock:
            for key, heard in list(self._heard.items()):
                if now - heard.at > FORGET_AFTER_HEARTBEATS * heard.beat.interval:
                    del self._heard[key]
            known = sorted(self._heard.items())
        return BackendList(
            backends=[
                _backend(name, [_worker(heard, now) for (backend, _), heard in known if backend == name])
                for name in BACKENDS
            ]
        )


def _backend(name: Backend, workers: list[WorkerEntry]) -> BackendEntry:
    able = [worker for worker in workers if worker.healthy]
    return BackendEntry(
        backend=name,
        healthy=bool(able),
        slots=sum(worker.slots for worker in able),
        active=sum(worker.active for worker in able),
        workers=workers,
    )


def _worker(heard: _LastHeartbeat, now: float) -> WorkerEntry:
    beat, age = heard.beat, max(0.0, now - heard.at)
    silent = age > MAX_MISSED_HEARTBEATS * beat.interval
    return WorkerEntry(
        worker=beat.worker,
        slots=beat.slots,
        active=0 if silent else beat.active,
        healthy=beat.healthy and not silent,
        reason=f"no heartbeat for {age:.0f} s" if silent else beat.reason,
        models=beat.models,
        heard=round(age, 3),
    )
