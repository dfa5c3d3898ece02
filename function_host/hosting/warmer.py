"""The thread that has instances stand ready: of each function as many as its `minimum`."""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from function_host.packages import Function, find_function
from straightline.errors import StraightLineError

CHECK_INTERVAL_S: Final = 1.0
"""Seconds between two looks."""
RETRY_INTERVAL_S: Final = 30.0
"""Seconds from a start that failed until the next one of the same deployment."""
_log = logging.getLogger(__name__)


class Warmer:
    """Calls `prepare` for each function that wants instances, until it says that there is nothing to do.

    Args:
        packages: the directory of function packages.
        prepare: starts one instance, and waits until it is ready; True where nothing was to be done.
    """

    def __init__(self, packages: Path, prepare: Callable[[Function], bool]) -> None:
        self._packages = packages
        self._prepare = prepare
        self._not_before: dict[tuple[str, str], float] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="warmer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            for file in sorted(self._packages.glob("*/function.toml")):
                self._warm(file.parent.name)
            self._stopping.wait(CHECK_INTERVAL_S)

    def _warm(self, name: str) -> None:
        function = None
        try:
            function = find_function(self._packages, name)
            while function is not None and function.minimum and not self._waits(function):
                if self._stopping.is_set() or self._prepare(function):
                    return
        except (StraightLineError, OSError) as error:
            _log.warning("%s", error)
        except Exception:  # noqa: BLE001 - without this thread nothing would ever stand ready again
            _log.exception("%s: no instance could be started ahead", name)
        else:
            return
        if function is not None:
            self._not_before[(function.name, function.revision)] = time.monotonic() + RETRY_INTERVAL_S

    def _waits(self, function: Function) -> bool:
        return self._not_before.get((function.name, function.revision), 0.0) > time.monotonic()
