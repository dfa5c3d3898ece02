"""Thread that drains the logs of all instances and detects their ends."""

import functools
import os
import select
import threading
from collections.abc import Callable
from typing import Final

from function_host.instances.instance import Instance
from straightline.support.event_log import EventLogger

TICK_INTERVAL_S: Final = 0.5
_log = EventLogger(__name__)


class Watcher:
    """Calls `on_end(instance)` once for each ended instance, and `on_tick()` twice a second."""

    def __init__(self, on_end: Callable[[Instance], None], on_tick: Callable[[], None]) -> None:
        self._on_end = on_end
        self._on_tick = on_tick
        self._epoll = select.epoll()
        self._lock = threading.Lock()
        self._logs: dict[int, Instance] = {}
        self._ends: dict[int, Instance] = {}
        self._wake, self._waker = os.pipe()
        self._epoll.register(self._wake, select.EPOLLIN)
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
        self._thread.start()

    def add(self, instance: Instance) -> None:
        """Watch an instance until it ends."""
        with self._lock:
            self._logs[instance.log_descriptor] = instance
            self._ends[instance.process_descriptor] = instance
            self._epoll.register(instance.log_descriptor, select.EPOLLIN)
            self._epoll.register(instance.process_descriptor, select.EPOLLIN)

    def stop(self) -> None:
        """Stop the thread."""
        self._stopping = True
        os.write(self._waker, b"x")
        self._thread.join()
        self._epoll.close()
        os.close(self._wake)
        os.close(self._waker)

    def _run(self) -> None:
        while not self._stopping:
            ended = []
            for descriptor, _ in self._epoll.poll(TICK_INTERVAL_S):
                with self._lock:
                    log, end = self._logs.get(descriptor), self._ends.get(descriptor)
                if log is not None and not log.drain():
                    self._forget(self._logs, descriptor)
                if end is not None:
                    ended.append(end)
            for instance in ended:
                self._forget(self._logs, instance.log_descriptor)
                self._forget(self._ends, instance.process_descriptor)
                self._guard(functools.partial(self._on_end, instance))
            self._guard(self._on_tick)

    def _guard(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception:  # noqa: BLE001 - the thread must survive
            _log.exception("instance_watch_failed")

    def _forget(self, watched: dict[int, Instance], descriptor: int) -> None:
        with self._lock:
            if watched.pop(descriptor, None) is not None:
                self._epoll.unregister(descriptor)
