"""Waiting until something answers, with a deadline, and with its log where it does not."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from script.support.errors import StackError
from script.support.processes import Process

_POLL_INTERVAL_S: Final = 0.05


def wait_until(
    ready: Callable[[], bool],
    *,
    what: str,
    seconds: float,
    watched: Sequence[Process] = (),
    detail: Callable[[], str] = str,
) -> None:
    """Poll `ready` until it is true.

    Args:
        ready: asked again and again; must return quickly.
        what: what we wait for, for the message.
        seconds: how long at most.
        watched: processes without which it cannot become true.
        detail: asked for more to say when the time is over.

    Raises:
        StackError: the time is over, or one of `watched` ended; the message has the end of its log.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        for process in watched:
            if not process.alive():
                raise StackError(
                    f"{process.name} ended while it started; its log ends:\n{indent(process.tail())}"
                )
        if time.monotonic() > deadline:
            logs = "".join(f"\n{process.name}'s log ends:\n{indent(process.tail())}" for process in watched)
            raise StackError(f"{what} is not there after {seconds:g} s{detail()}{logs}")
        time.sleep(_POLL_INTERVAL_S)


def indent(text: str) -> str:
    """Set a log off from the message around it."""
    return "\n".join(f"    {line}" for line in text.splitlines())
