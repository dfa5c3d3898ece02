"""First code of an instance's process: sets its limits, then becomes AWS's runtime interface client.

It runs as a script of its own (not in the host between fork and exec, which has threads), and imports nothing
but the standard library. Arguments: the host's process id, the memory limit in bytes, the handler.
"""

import ctypes
import os
import resource
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def main(arguments: list[str]) -> int:
    """Set the limits and run the handler; returns only where the host is gone already."""
    host, memory, handler = int(arguments[0]), int(arguments[1]), arguments[2]
    # The kernel ends this process when the host's does, however that ended (prctl(2)).
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != host:
        return 1
    # Private memory, not address space: libraries reserve far more addresses than they ever touch.
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    command = [sys.executable, "-m", "awslambdaric", handler]
    return os.execv(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
