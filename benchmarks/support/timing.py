"""Timing of calls."""

import statistics
import time
from collections.abc import Callable, Mapping

Call = Callable[[], object]


def milliseconds(call: Call) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


def medians(calls: Mapping[str, Call], count: int, pause_s: float) -> dict[str, float]:
    """Return the median of each in milliseconds, over calls that alternate with a pause before each."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(count):
        for name, call in calls.items():
            time.sleep(pause_s)
            times[name].append(milliseconds(call))
    return {name: statistics.median(each) for name, each in times.items()}
