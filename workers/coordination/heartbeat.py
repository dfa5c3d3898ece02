"""The pool's heartbeat: once a second, what the scheduler must know of it."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

import msgspec

from straightline import names
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts import Heartbeat
from workers.protocol.base import Backend, Health
from workers.reporting.reporter import Sender, signal

HEARTBEAT_INTERVAL_S: Final = 1.0
MAX_SAMPLES: Final = 256
"""Answers of a model of which the fastest is its best case here."""
SAMPLE_TTL_S: Final = 60.0
"""Seconds for which an answer says what can be: what was slow a while ago may have been mended since."""

logger = logging.getLogger(__name__)


class FastestLatencies:
    """The fastest of each model's recent answers: a slow model says nothing of the others. Thread-safe.

    Args:
        clock: seconds since whenever.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._recent: dict[str, deque[tuple[float, float]]] = {}  # of each model: (when, seconds)

    def add(self, model: str, seconds: float) -> None:
        """Remember an answer of a model that took so long."""
        self._recent.setdefault(model, deque(maxlen=MAX_SAMPLES)).append((self._clock(), seconds))

    def get(self) -> dict[str, float]:
        """Return the fastest by model; those that have not answered lately are left out."""
        since = self._clock() - SAMPLE_TTL_S
        found = {}
        for model, recent in self._recent.copy().items():
            fresh = [seconds for at, seconds in recent.copy() if at > since]
            if fresh:
                found[model] = min(fresh)
        return found


class HeartbeatSender:
    """Sends heartbeats from a thread of its own until it is stopped.

    Args:
        sender: what publishes.
        backend: whose health is told.
        worker: the Celery worker's node name.
        slots: requests the pool takes at once.
        active: counts the requests it has.
        best_cases: of the models here.
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
        best_cases: FastestLatencies,
        clock: Callable[[], float],
        on_health: Callable[[Health], None] = lambda _: None,
    ) -> None:
        self._sender = sender
        self._backend = backend
        self._worker = worker
        self._slots = slots
        self._active = active
        self._best_cases = best_cases
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
        self._sender.publish(self.heartbeat(closing=True))

    def send_now(self) -> None:
        """Send one now: what the pool can do has changed."""
        self._wake.set()

    def heartbeat(self, *, closing: bool = False) -> Outgoing:
        """Make the heartbeat of this moment."""
        health = self._backend.health()
        if not closing:
            self._on_health(health)
        heartbeat = Heartbeat(
            backend=self._backend.name,
            worker=self._worker,
            sent_at=self._clock(),
            interval=HEARTBEAT_INTERVAL_S,
            slots=self._slots,
            active=self._active(),
            healthy=health.ok and not closing,
            reason="the worker stops" if closing else health.reason,
            models=self._backend.models(),
            max_payload=self._backend.max_payload,
            best_cases=self._best_cases.get(),
            closing=closing,
        )
        return signal(names.HEARTBEAT_KEY, names.TYPE_HEARTBEAT, msgspec.json.encode(heartbeat))

    def _run(self) -> None:
        while True:
            try:
                # While the broker is away they would pile up, and come all at once when they are stale.
                if self._last is None or self._last.done():
                    self._last = self._sender.publish(self.heartbeat())
            except Exception:
                logger.exception("a heartbeat could not be sent")  # the next one is a second away
            self._wake.wait(HEARTBEAT_INTERVAL_S)
            self._wake.clear()
            if self._stopped:
                return
