"""The garbage collection loop of the store of large bodies."""

import threading
from typing import Final

from straightline.errors import ConfigurationError, StraightLineError
from straightline.storage.store import Store
from straightline.storage.sweep import MIN_AGE_S, sweep
from straightline.support.event_log import EventLogger

FIRST_SWEEP_DELAY_S: Final = 60.0
"""Delay of the first sweep, so that a crash loop does not list the store at each start."""

logger = EventLogger(__name__)


class StoreSweeper:
    """Sweeps a store as `straightline sweep` does. Any number may run: deletion is idempotent.

    Args:
        store: the store.
        interval: seconds between sweeps.
        keep: seconds that every file stays; longer than the longest deadline.
        first: seconds until the first sweep.

    Raises:
        ConfigurationError: `keep` is too short.
    """

    def __init__(
        self, store: Store, *, interval: float, keep: float, first: float = FIRST_SWEEP_DELAY_S
    ) -> None:
        if not keep >= MIN_AGE_S:
            raise ConfigurationError(
                f"STRAIGHTLINE_STORE_KEEP is below {MIN_AGE_S:.0f} seconds: younger files may be in use"
            )
        self._store = store
        self._interval = interval
        self._keep = keep
        self._first = first
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Make `run` return after the current sweep. Thread-safe."""
        self._stopping.set()

    def run(self) -> None:
        """Sweep until `stop`."""
        pause = min(self._first, self._interval)
        while not self._stopping.wait(pause):
            self._sweep()
            pause = self._interval

    def _sweep(self) -> None:
        try:
            swept = sweep(self._store, self._keep)
        except StraightLineError as error:
            logger.warning("store_sweep_incomplete", error=error)
        except Exception:
            logger.exception("store_sweep_failed")
        else:
            logger.info("store_swept", files=swept.removed, size_bytes=swept.removed_bytes)
