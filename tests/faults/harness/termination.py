"""Ways to end a process."""

import contextlib
import os
import resource
import signal
from enum import Enum

from script.support.processes import Process
from tests.faults.harness.process_info import session, status_field


class Termination(Enum):
    """How a process ends from outside; for crashes inside our code see `straightline.support.failpoints`."""

    SIGTERM = "SIGTERM"
    SIGTERM_TWICE = "SIGTERM, repeated at once"
    SIGQUIT = "SIGQUIT"
    SIGKILL = "SIGKILL"
    SIGKILL_SESSION = "SIGKILL to its whole session, child processes included"
    OUT_OF_MEMORY = "its address space may not grow further"

    def apply(self, process: Process) -> None:
        """Apply it to a running process."""
        match self:
            case Termination.OUT_OF_MEMORY:
                used = int(status_field(process.pid, "VmSize")) * 1024
                resource.prlimit(process.pid, resource.RLIMIT_AS, (used, used))
            case Termination.SIGKILL_SESSION:
                _kill_session(process)
            case Termination.SIGTERM_TWICE:
                os.kill(process.pid, signal.SIGTERM)
                os.kill(process.pid, signal.SIGTERM)
            case _:
                os.kill(process.pid, signal.Signals[self.name])


def _kill_session(leader: Process) -> None:
    """Kill a session, the leader last.

    A stopped leader starts no further process. When it exits, what its successor needs, such as a port, is
    free.
    """
    os.kill(leader.pid, signal.SIGSTOP)
    while others := [process for process in session(leader.pid) if process.pid != leader.pid]:
        for process in others:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
    os.kill(leader.pid, signal.SIGKILL)
