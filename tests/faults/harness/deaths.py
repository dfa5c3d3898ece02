"""The ways in which a process may die."""

import contextlib
import os
import resource
import signal
from enum import Enum

from script.support.processes import Process
from tests.faults.harness.tree import session


class Death(Enum):
    """How a process ends; ends inside its own code are `straightline.support.failpoints.Step`."""

    ASKED = "SIGTERM"
    ASKED_TWICE = "SIGTERM, and again at once"
    ASKED_TO_QUIT = "SIGQUIT"
    KILLED = "SIGKILL"
    KILLED_WHOLE = "SIGKILL, to all of its session: what it has started dies with it"
    NO_MEMORY = "its address space may not grow any more"

    def befall(self, process: Process) -> None:
        """Let it happen to a running process."""
        if self is Death.NO_MEMORY:
            used = int(_field(process.pid, "VmSize")) * 1024
            resource.prlimit(process.pid, resource.RLIMIT_AS, (used, used))
            return
        if self is Death.KILLED_WHOLE:
            _kill_session(process)
            return
        number = {Death.ASKED_TO_QUIT: signal.SIGQUIT, Death.KILLED: signal.SIGKILL}.get(self, signal.SIGTERM)
        os.kill(process.pid, number)
        if self is Death.ASKED_TWICE:
            os.kill(process.pid, number)


def _kill_session(leader: Process) -> None:
    """The leader last: what its successor needs, as a port, is then free, and it starts nothing meanwhile."""
    os.kill(leader.pid, signal.SIGSTOP)
    while others := [process for process in session(leader.pid) if process.pid != leader.pid]:
        for process in others:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
    os.kill(leader.pid, signal.SIGKILL)


def resident(pid: int) -> int:
    """Return the bytes of memory that a process has now; 0 where it has ended."""
    try:
        return int(_field(pid, "VmRSS")) * 1024
    except (OSError, LookupError):
        return 0


def private(pid: int) -> int:
    """Return the bytes of its memory that are not of a file, which the kernel keeps or drops as it likes.

    Raises:
        OSError, LookupError: it has ended.
    """
    return 1024 * sum(int(_field(pid, name)) for name in ("RssAnon", "RssShmem", "VmSwap"))


def _field(pid: int, name: str) -> str:
    with open(f"/proc/{pid}/status", encoding="ascii") as status:  # noqa: PTH123 - a file of the kernel
        for line in status:
            if line.startswith(f"{name}:"):
                return line.split()[1]
    raise LookupError(name)
