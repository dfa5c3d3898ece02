"""Thread that prestarts instances up to the `minimum` of each function."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from function_host.packages import Function, find_function
from straightline.errors import StraightLineError
from straightline.support.event_log import EventLogger

CHECK_INTERVAL_S: Final = 1.0
RETRY_INTERVAL_S: Final = 30.0
"""After a failed start of the same deployment."""
_log = EventLogger(__name__)


class Warmer:
    """Calls `prestart` for each function with a minimum, until it returns True.

    Args:
        packages: directory of function packages.
        prestart: starts one instance and waits until it is ready; True if nothing is left to start.
    """

    def __init__(self, packages: Path, prestart: Callable[[Function], bool]) -> None:
        self._packages = packages
        self._prestart = prestart
        self._not_before: dict[tuple[str, str], float] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="warmer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the thread."""
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
            while function is not None and function.minimum and not self._is_backing_off(function):
                if self._stopping.is_set() or self._prestart(function):
                    return
        except (StraightLineError, OSError) as error:
            _log.warning("instance_not_prestarted", function=name, error=error)
        except Exception:  # noqa: BLE001 - the thread must survive
            _log.exception("instance_prestart_failed", function=name)
        else:
            return
        if function is not None:
            self._not_before[(function.name, function.revision)] = time.monotonic() + RETRY_INTERVAL_S

    def _is_backing_off(self, function: Function) -> bool:
        return self._not_before.get((function.name, function.revision), 0.0) > time.monotonic()
