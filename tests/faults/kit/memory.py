"""The memory of the stack's processes, sampled as they run, die and are started anew."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from script.stack.processes import Process
from tests.faults.kit.chaos import Growth, growth
from tests.faults.kit.deaths import resident
from tests.faults.kit.tree import descendants

EVERY: Final = 5.0
"""Seconds between two samples."""
WARM_UP: Final = 60.0

Watched = Callable[[], Mapping[str, Process]]


class Memory:
    """Samples the resident memory of processes, each with what it has started, until `close`.

    Args:
        watched: asked each time for the processes there are, by name.
    """

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._samples: dict[tuple[str, int], list[tuple[float, int]]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="memory", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Sample no more."""
        self._over.set()
        self._thread.join(10)

    def growths(self) -> dict[str, Growth]:
        """Return for each name the growth of that process of it which lived longest."""
        found: dict[str, Growth] = {}
        for (name, _), samples in self._samples.items():
            judged = growth(samples, WARM_UP)
            if judged is not None and (name not in found or judged.minutes > found[name].minutes):
                found[name] = judged
        return found

    def _sample(self) -> None:
        began: dict[tuple[str, int], float] = {}
        while not self._over.wait(EVERY):
            now = time.monotonic()
            for name, process in self._watched().items():
                key = (name, process.pid)
                began.setdefault(key, now)
                family = [process.pid, *(child.pid for child in descendants(process.pid))]
                size = sum(resident(pid) for pid in family)
                if resident(process.pid):
                    self._samples.setdefault(key, []).append((now - began[key], size))
