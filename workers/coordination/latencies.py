"""Recent latencies of the models on this pool."""

import time
from collections import deque
from collections.abc import Callable
from typing import Final

MAX_SAMPLES: Final = 256
"""Samples kept for each model."""
SAMPLE_TTL_S: Final = 60.0
"""Age at which a sample no longer counts."""


class FastestLatencies:
    """The fastest recent call of each model. Thread-safe.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._recent: dict[str, deque[tuple[float, float]]] = {}  # by model: (time, seconds)

    def add(self, model: str, seconds: float) -> None:
        """Record the duration of a call."""
        self._recent.setdefault(model, deque(maxlen=MAX_SAMPLES)).append((self._clock(), seconds))

    def get(self) -> dict[str, float]:
        """Return the fastest call in seconds by model; models without a recent call are left out."""
        since = self._clock() - SAMPLE_TTL_S
        found = {}
        for model, recent in self._recent.copy().items():
            fresh = [seconds for at, seconds in recent.copy() if at > since]
            if fresh:
                found[model] = min(fresh)
        return found
