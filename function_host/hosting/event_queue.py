"""Invocations of type Event: taken at once, run when there is room, their answers go nowhere."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from function_host.hosting.host import Host, Throttled
from function_host.hosting.pool import TOTAL_LIMIT
from function_host.instances.invocation import Event

RETRY_INTERVAL_S: Final = 0.2
_log = logging.getLogger(__name__)


class EventQueue:
    """A bounded queue of events and the threads that work it off; what waits in it dies with the host."""

    def __init__(self, host: Host, *, threads: int = 2, waiting: int = 128) -> None:
        self._host = host
        self._room = threading.BoundedSemaphore(threads + waiting)
        self._closing = threading.Event()
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="event")

    def submit(self, name: str, event: Event) -> None:
        """Take an event for a function that is deployed.

        Raises:
            Throttled: too many wait already.
        """
        if not self._room.acquire(blocking=False):
            raise Throttled(TOTAL_LIMIT)
        self._executor.submit(self._run, name, event).add_done_callback(lambda _: self._room.release())

    def close(self) -> None:
        """Drop what waits; what runs ends with the host."""
        self._closing.set()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _run(self, name: str, event: Event) -> None:
        while True:
            try:
                answer = self._host.invoke(name, event)
            except Throttled:
                if self._closing.wait(RETRY_INTERVAL_S):
                    return
            except Exception:  # noqa: BLE001 - nobody waits for the future: what is not told here is lost
                _log.exception("%s: the event %s was not run", name, event.request_id)
                return
            else:
                if answer.failed:
                    _log.warning("%s: the event %s failed", name, event.request_id)
                return
