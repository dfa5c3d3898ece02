"""The reconciler's part of the store: what nobody needs any more is swept, again and again."""

import logging
import threading
from typing import Final

from straightline.errors import ConfigurationError, StraightLineError
from straightline.storage.store import Store
from straightline.storage.sweep import MIN_AGE_S, sweep

FIRST_SWEEP_DELAY_S: Final = 60.0
"""Seconds until the first sweep: processes that start again and again list no store each time."""

logger = logging.getLogger(__name__)


class StoreSweeper:
    """Sweeps a store, as `straightline sweep` does. Any number may do so at once: what is gone is gone.

    Args:
        store: the store.
        interval: seconds between sweeps.
        keep: seconds that everything stays; longer than the longest deadline.
        first: seconds until the first sweep.

    Raises:
        ConfigurationError: `keep` is too short.
    """

    def __init__(
        self, store: Store, *, interval: float, keep: float, first: float = FIRST_SWEEP_DELAY_S
    ) -> None:
        if not keep >= MIN_AGE_S:
            raise ConfigurationError(
                f"STRAIGHTLINE_STORE_KEEP is below {MIN_AGE_S:.0f} seconds: what is younger may be in use"
            )
        self._store = store
        self._interval = interval
        self._keep = keep
        self._first = first
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Make `run` return after the sweep at hand; from any thread."""
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
            logger.warning("the store was not swept, the next sweep takes what is left: %s", error)
        except Exception:
            logger.exception("sweeping the store met an unexpected fault")
        else:
            logger.info("%d files (%d bytes) were swept from the store", swept.removed, swept.removed_bytes)
