"""The reaper: a thread that removes idle, dead and orphaned servers, and starts prewarmed ones."""

import time
from threading import Event, Lock, Thread
from typing import Final

from straightline.support.event_log import EventLogger
from workers.containers.pool.driver import Driver
from workers.containers.pool.pool import WarmPool
from workers.protocol.errors import BackendFault

_ORPHAN_SWEEP_INTERVAL_S: Final = 30.0
_STOP_TIMEOUT_S: Final = 5.0
"""How long `stop` waits for a running sweep."""
_log = EventLogger(__name__)


class ContainerReaper:
    """Sweeps the pool every `interval` seconds from the first `start` until `stop`."""

    def __init__(self, pool: WarmPool, driver: Driver, interval: float) -> None:
        self._pool = pool
        self._driver = driver
        self._interval = interval
        self._stopping = Event()
        self._lock = Lock()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Start the thread, if it does not run; it first removes orphans."""
        if self._thread is not None:
            return
        with self._lock:
            if self._thread is None and not self._stopping.is_set():
                self._thread = Thread(target=self._run, name="container-reaper", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Stop the thread, and wait for its running sweep."""
        self._stopping.set()
        with self._lock:
            if self._thread is not None:
                self._thread.join(_STOP_TIMEOUT_S)

    def _run(self) -> None:
        orphans_removed_at = float("-inf")
        last_warning: str | None = None
        while not self._stopping.is_set():
            try:
                if time.monotonic() - orphans_removed_at >= _ORPHAN_SWEEP_INTERVAL_S:
                    self._remove_orphans()
                    orphans_removed_at = time.monotonic()
                self._pool.sweep()
                last_warning = None
            except BackendFault as fault:
                if str(fault) != last_warning:  # once for each outage, not for each sweep in it
                    _log.warning("container_sweep_postponed", error=fault)
                last_warning = str(fault)
            # A failed sweep must not be the last one.
            except Exception:  # noqa: BLE001
                _log.exception("container_sweep_failed")
            self._stopping.wait(self._interval)

    def _remove_orphans(self) -> None:
        for title in self._driver.remove_orphans():
            _log.warning("orphan_removed", server=title)
