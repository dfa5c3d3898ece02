"""The pool's heartbeat: once a second, what the scheduler must know of it."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

import msgspec

from straightline import names
from straightline.amqp.outgoing import Outgoing
from straightline.contracts import Heartbeat
from workers.backends.base import Backend, Health
from workers.reporting import Sender, signal

INTERVAL: Final = 1.0
REMEMBERED: Final = 256
"""Answers of which the fastest is the backend's best case."""

logger = logging.getLogger(__name__)


class BestCase:
    """The fastest of the recent answers. Thread-safe."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=REMEMBERED)

    def add(self, seconds: float) -> None:
        """Remember an answer that took so long."""
        self._recent.append(seconds)

    def get(self) -> float | None:
        """Return the fastest; None before the first."""
        return min(self._recent.copy(), default=None)


class Pulse:
    """Sends heartbeats from a thread of its own until it is stopped.

    Args:
        sender: what publishes.
        backend: whose health is told.
        worker: the Celery worker's node name.
        slots: requests the pool takes at once.
        active: counts the requests it has.
        best_case: of the backend.
        clock: seconds since the epoch.
        on_health: told of the health that each heartbeat finds, before it goes out.
    """

    def __init__(
        self,
        *,
        sender: Sender,
        backend: Backend,
        worker: str,
        slots: int,
        active: Callable[[], int],
        best_case: BestCase,
        clock: Callable[[], float],
        on_health: Callable[[Health], None] = lambda _: None,
    ) -> None:
        self._sender = sender
        self._backend = backend
        self._worker = worker
        self._slots = slots
        self._active = active
        self._best_case = best_case
        self._clock = clock
        self._on_health = on_health
        self._last: Future[None] | None = None
        self._stopped = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin; the first heartbeat goes out at once."""
        self._thread.start()

    def stop(self) -> None:
        """Send a last heartbeat that says the pool closes, and end."""
        self._stopped = True
        self._wake.set()
        self._thread.join()
        self._sender.publish(self.beat(closing=True))

    def soon(self) -> None:
        """Send one now: what the pool can do has changed."""
        self._wake.set()

    def beat(self, *, closing: bool = False) -> Outgoing:
        """Make the heartbeat of this moment."""
        health = self._backend.health()
        if not closing:
            self._on_health(health)
        heartbeat = Heartbeat(
            backend=self._backend.name,
            worker=self._worker,
            sent_at=self._clock(),
            interval=INTERVAL,
            slots=self._slots,
            active=self._active(),
            healthy=health.ok and not closing,
            reason="the worker stops" if closing else health.reason,
            models=self._backend.models(),
            max_payload=self._backend.max_payload,
            best_case=self._best_case.get(),
            closing=closing,
        )
        return signal(names.HEARTBEAT_KEY, names.TYPE_HEARTBEAT, msgspec.json.encode(heartbeat))

    def _run(self) -> None:
        while True:
            try:
                # While the broker is away they would pile up, and come all at once when they are stale.
                if self._last is None or self._last.done():
                    self._last = self._sender.publish(self.beat())
            except Exception:
                logger.exception("a heartbeat could not be sent")  # the next one is a second away
            self._wake.wait(INTERVAL)
            self._wake.clear()
            if self._stopped:
                return
