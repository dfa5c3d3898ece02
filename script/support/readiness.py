"""Waiting for readiness with a time limit; errors include the log."""

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
        ready: polled; must return quickly.
        what: name of what is waited for, for the message.
        seconds: time limit.
        watched: processes that must stay alive meanwhile.
        detail: called on timeout for the rest of the sentence.

    Raises:
        StackError: time limit exceeded, or one of `watched` exited; the message has the end of its log.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        for process in watched:
            if not process.alive():
                raise StackError(
                    f"{process.name} exited during start-up. End of its log:\n{indent(process.tail())}"
                )
        if time.monotonic() > deadline:
            logs = "".join(
                f"\nEnd of the log of {process.name}:\n{indent(process.tail())}" for process in watched
            )
            raise StackError(f"{what} was not ready after {seconds:g} s{detail()}{logs}")
        time.sleep(_POLL_INTERVAL_S)


def indent(text: str) -> str:
    """Indent each line of a log."""
    return "\n".join(f"    {line}" for line in text.splitlines())
