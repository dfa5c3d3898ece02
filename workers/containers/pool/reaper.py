"""The thread that sweeps up now and then: idle and dead servers, and those of dead workers."""

import logging
import time
from threading import Event, Lock, Thread
from typing import Final

from workers.containers.pool.driver import Driver
from workers.containers.pool.pool import WarmPool
from workers.protocol.errors import BackendFault

_ORPHAN_SWEEP_INTERVAL_S: Final = 30.0
"""Seconds between two searches for orphans."""
_STOP_TIMEOUT_S: Final = 5.0
"""Seconds that a sweep at work gets to end."""
_log = logging.getLogger(__name__)


class ContainerReaper:
    """Tends the pool every `interval` seconds from the first `start` until `stop`."""

    def __init__(self, pool: WarmPool, driver: Driver, interval: float) -> None:
        self._pool = pool
        self._driver = driver
        self._interval = interval
        self._stopping = Event()
        self._lock = Lock()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Begin, where it has not begun; the first thing it does is to look for orphans."""
        if self._thread is not None:
            return
        with self._lock:
            if self._thread is None and not self._stopping.is_set():
                self._thread = Thread(target=self._run, name="container-caretaker", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """End, and wait for what it is at."""
        self._stopping.set()
        with self._lock:
            if self._thread is not None:
                self._thread.join(_STOP_TIMEOUT_S)

    def _run(self) -> None:
        searched = float("-inf")
        complained: str | None = None
        while not self._stopping.is_set():
            try:
                if time.monotonic() - searched >= _ORPHAN_SWEEP_INTERVAL_S:
                    self._remove_orphans()
                    searched = time.monotonic()
                self._pool.tend()
                complained = None
            except BackendFault as fault:
                if str(fault) != complained:  # once for each outage, not every second of it
                    _log.warning("%s", fault)
                complained = str(fault)
            # A sweep that failed must not be the last one.
            except Exception:  # noqa: BLE001
                _log.exception("sweeping up failed")
            self._stopping.wait(self._interval)

    def _remove_orphans(self) -> None:
        for title in self._driver.remove_orphans():
            _log.warning("%s was left behind by a worker that died or lost its engine; it is removed", title)
