"""Launcher of an instance: sets its limits, then becomes AWS's runtime interface client.

It is a separate script, since the host has threads and must not run Python between fork and exec. It imports
only the standard library. Arguments: process id of the host, memory limit in bytes, handler.
"""

import ctypes
import os
import resource
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def main(arguments: list[str]) -> int:
    """Set the limits and run the handler; return only if the host has ended already."""
    host, memory, handler = int(arguments[0]), int(arguments[1]), arguments[2]
    # The kernel kills this process when the host ends for any reason (prctl(2)).
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != host:
        return 1
    # Private memory, not address space: libraries reserve far more addresses than they use.
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    command = [sys.executable, "-m", "awslambdaric", handler]
    return os.execv(command[0], command)  # noqa: S606 - without a shell


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
