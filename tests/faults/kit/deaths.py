"""The ways in which a process of ours may die."""

import os
import resource
import signal
from enum import Enum

from script.stack.processes import Process


class Death(Enum):
    """How a process comes to its end; those inside its own code are `straightline.crash.Step`."""

    ASKED = "SIGTERM"
    ASKED_TWICE = "SIGTERM, and again at once"
    ASKED_TO_QUIT = "SIGQUIT"
    KILLED = "SIGKILL"
    NO_MEMORY = "its address space may not grow any more"

    def befall(self, process: Process) -> None:
        """Let it happen to a running process."""
        if self is Death.NO_MEMORY:
            used = int(_field(process.pid, "VmSize")) * 1024
            resource.prlimit(process.pid, resource.RLIMIT_AS, (used, used))
            return
        number = {Death.ASKED_TO_QUIT: signal.SIGQUIT, Death.KILLED: signal.SIGKILL}.get(self, signal.SIGTERM)
        os.kill(process.pid, number)
        if self is Death.ASKED_TWICE:
            os.kill(process.pid, number)


def resident(pid: int) -> int:
    """Return the bytes of memory that a process has now; 0 where it has ended."""
    try:
        return int(_field(pid, "VmRSS")) * 1024
    except (OSError, LookupError):
        return 0


def _field(pid: int, name: str) -> str:
    with open(f"/proc/{pid}/status", encoding="ascii") as status:  # noqa: PTH123 - not a file of ours
        for line in status:
            if line.startswith(f"{name}:"):
                return line.split()[1]
    raise LookupError(name)
