"""The pool's heartbeat to the scheduler, once a second."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts import Heartbeat
from straightline.messages.signals import heartbeat_message
from straightline.support.event_log import EventLogger
from workers.coordination.latencies import FastestLatencies
from workers.protocol.base import Backend, Health
from workers.reporting.messages import Sender

HEARTBEAT_INTERVAL_S: Final = 1.0

logger = EventLogger(__name__)


class HeartbeatSender:
    """Sends heartbeats from its own thread until it is stopped.

    Args:
        sender: publishes them.
        backend: its health, models and payload limit are reported.
        worker: the Celery worker's node name.
        slots: number of requests that the pool executes at once.
        active: returns the number of requests in the pool.
        latencies: of the models here.
        clock: seconds since the epoch.
        on_health: called with the health of each heartbeat before it is sent.
    """

    def __init__(
        self,
        *,
        sender: Sender,
        backend: Backend,
        worker: str,
        slots: int,
        active: Callable[[], int],
        latencies: FastestLatencies,
        clock: Callable[[], float],
        on_health: Callable[[Health], None] = lambda _: None,
    ) -> None:
        self._sender = sender
        self._backend = backend
        self._worker = worker
        self._slots = slots
        self._active = active
        self._latencies = latencies
        self._clock = clock
        self._on_health = on_health
        self._last: Future[None] | None = None
        self._stopped = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Start the thread; it sends the first heartbeat at once."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread, and send a last heartbeat with `closing`."""
        self._stopped = True
        self._wake.set()
        self._thread.join()
        self._sender.publish(self.heartbeat(closing=True))

    def send_now(self) -> None:
        """Send a heartbeat without waiting for the interval, after a change."""
        self._wake.set()

    def heartbeat(self, *, closing: bool = False) -> Outgoing:
        """Return a heartbeat of the present state."""
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
            best_cases=self._latencies.get(),
            closing=closing,
        )
        return heartbeat_message(heartbeat)

    def _run(self) -> None:
        while True:
            try:
                # During an outage of the broker they would queue up and arrive stale, all at once.
                if self._last is None or self._last.done():
                    self._last = self._sender.publish(self.heartbeat())
            except Exception:
                logger.exception("heartbeat_not_sent")  # the next one follows in a second
            self._wake.wait(HEARTBEAT_INTERVAL_S)
            self._wake.clear()
            if self._stopped:
                return
