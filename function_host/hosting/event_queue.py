"""Queue of asynchronous invocations (type Event), whose results are discarded."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from function_host.hosting.errors import Throttled
from function_host.hosting.host import Host
from function_host.hosting.pool import TOTAL_LIMIT
from function_host.instances.invocation import Event
from straightline.support.event_log import EventLogger

RETRY_INTERVAL_S: Final = 0.2
_log = EventLogger(__name__)


class EventQueue:
    """A bounded queue of events in memory, and its threads. Queued events are lost when the host ends."""

    def __init__(self, host: Host, *, threads: int = 2, queue_size: int = 128) -> None:
        self._host = host
        self._capacity = threading.BoundedSemaphore(threads + queue_size)
        self._closing = threading.Event()
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="event")

    def submit(self, name: str, event: Event) -> None:
        """Queue an event for a deployed function.

        Raises:
            Throttled: the queue is full.
        """
        if not self._capacity.acquire(blocking=False):
            raise Throttled(TOTAL_LIMIT)
        self._executor.submit(self._run, name, event).add_done_callback(lambda _: self._capacity.release())

    def close(self) -> None:
        """Drop queued events; running ones end with the host."""
        self._closing.set()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _run(self, name: str, event: Event) -> None:
        while True:
            try:
                result = self._host.invoke(name, event)
            except Throttled:
                if self._closing.wait(RETRY_INTERVAL_S):
                    return
            except Exception:  # noqa: BLE001 - the future is discarded, so errors are logged here
                _log.exception("function_event_not_run", function=name, event_id=event.request_id)
                return
            else:
                if result.failed:
                    _log.warning("function_event_failed", function=name, event_id=event.request_id)
                return
