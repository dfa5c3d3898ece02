"""Runs loops on threads until SIGTERM or SIGINT, or until one of them ends."""

import signal
import threading
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from straightline.support.event_log import EventLogger

logger = EventLogger(__name__)

STOP_TIMEOUT_S: Final = 8.0
"""Time for work in progress after SIGTERM. The queue redelivers what is not committed by then."""
SIGNAL_POLL_INTERVAL_S: Final = 0.2


class Loop(Protocol):
    """Work that runs until it is stopped."""

    def run(self) -> None:
        """Work until `stop`."""
        ...

    def stop(self) -> None:
        """Make `run` return soon. Thread-safe."""
        ...


class Stopped(NamedTuple):
    """Result of running loops.

    Attributes:
        by_signal: a signal asked for the end; otherwise a loop ended by itself.
        in_time: every loop ended within `STOP_TIMEOUT_S`.
    """

    by_signal: bool
    in_time: bool


def run_until_signal(loops: Sequence[Loop]) -> Stopped:
    """Run loops until SIGTERM or SIGINT, or until one ends; then stop all. Must run in the main thread."""
    ended = threading.Event()
    signalled = False

    def work(loop: Loop) -> None:
        try:
            loop.run()
        finally:
            ended.set()

    def on_signal(_signal: int, _frame: object) -> None:
        nonlocal signalled
        signalled = True  # taking a lock here could deadlock with the thread that the signal interrupted

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    # Daemons, so that a database that hangs in a statement cannot keep the process alive.
    threads = [
        threading.Thread(target=work, args=(loop,), name=type(loop).__name__.lower(), daemon=True)
        for loop in loops
    ]
    for thread in threads:
        thread.start()
    while not signalled and not ended.wait(SIGNAL_POLL_INTERVAL_S):
        pass
    for loop in loops:
        loop.stop()
    for thread in threads:
        thread.join(STOP_TIMEOUT_S / len(threads))
    in_time = not any(thread.is_alive() for thread in threads)
    if not in_time:
        logger.warning("stop_timed_out", timeout_s=STOP_TIMEOUT_S)
    return Stopped(signalled, in_time)
