"""The supervisor of a model server that runs as a child process, which stops it when the worker dies.

`process_driver` runs it as a program: `process_supervisor.py BUNDLE MODEL VERSION COMMAND...`. It creates a
directory of models with that one bundle, starts the command with STRAIGHTLINE_MODELS_DIR set to it, and stops
it at the end of its standard input, which comes when the worker closes it or dies. If the supervisor itself
is killed, the kernel terminates the server (Linux). It imports only the standard library.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from threading import Thread
from typing import Final

TERM_GRACE_S: Final = 2.0
"""Time between SIGTERM and SIGKILL."""
_PR_SET_PDEATHSIG: Final = 1


def main(bundle: str, model: str, version: str, *command: str) -> int:
    """Run the command until it or standard input ends; return its exit code, 128 + n for signal n."""
    with tempfile.TemporaryDirectory(prefix="straightline-model-") as models:
        place = Path(models) / model
        place.mkdir()
        (place / version).symlink_to(bundle, target_is_directory=True)
        listener = int(os.environ["STRAIGHTLINE_SERVE_BIND"].removeprefix("fd://"))
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "STRAIGHTLINE_MODELS_DIR": models},
            pass_fds=(listener,),
            start_new_session=True,
            # The kernel watches the thread that forks: no other runs yet, and it lives as long as the
            # process.
            preexec_fn=_die_with_parent,  # noqa: PLW1509
        ) as server:
            os.close(listener)  # so that a dead server refuses connections and does not let them wait
            signal.signal(signal.SIGTERM, lambda *_: _signal(server.pid, signal.SIGTERM))
            Thread(target=_end_with_input, args=(server.pid,), daemon=True).start()
            code = server.wait()
            _signal(server.pid, signal.SIGKILL)  # the children of a server that was killed
    return code if code >= 0 else 128 - code


def _end_with_input(group: int) -> None:
    # Unbuffered: a thread that holds the buffer's lock would disturb the interpreter's shutdown.
    while os.read(0, 1024):
        pass
    _signal(group, signal.SIGTERM)
    time.sleep(TERM_GRACE_S)
    _signal(group, signal.SIGKILL)


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
