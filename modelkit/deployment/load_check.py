"""Loading a bundle in a child process before anybody serves it."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import modelkit
from modelkit.deployment.errors import NotReady

_PASSED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
"""What of our environment it gets: nothing with credentials."""
_LINES: Final = 15


def try_bundle(bundle: Path, title: str, patience: float, environ: Mapping[str, str]) -> None:
    """Load a bundle as a model server does, and return where it can be.

    Args:
        bundle: its directory, with its packages.
        title: name and version, for people.
        patience: seconds that it may take.
        environ: paths and locale are passed on.

    Raises:
        NotReady: it cannot be loaded, crashes, or takes too long.
    """
    code = Path(modelkit.__file__ or "").resolve().parents[1]
    environment = {name: environ[name] for name in _PASSED if name in environ} | {
        "PYTHONPATH": str(code),
        "OMP_NUM_THREADS": "1",
    }
    with tempfile.TemporaryFile() as said, tempfile.TemporaryDirectory() as place:
        process = subprocess.Popen(
            [sys.executable, "-m", "model_server.load_check", str(bundle.resolve())],
            cwd=place,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            ended = process.wait(patience)
        except subprocess.TimeoutExpired:
            raise NotReady(
                f"{title} was not loaded within {patience:g} s: make its loading shorter, or raise "
                "STRAIGHTLINE_DEPLOY_PATIENCE" + _end_of(said.fileno())
            ) from None
        finally:
            _end(process)
        if ended:
            raise NotReady(f"{title} {_how(ended)}: correct it, and package it anew{_end_of(said.fileno())}")


def _how(code: int) -> str:
    if code < 0:
        return f"crashes when it is loaded ({signal.Signals(-code).name})"
    return "cannot be loaded"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it with all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _end_of(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    text = os.pread(descriptor, 8192, max(0, size - 8192)).decode(errors="replace").strip()
    lines = "\n".join(text.splitlines()[-_LINES:])
    return f". It says:\n{lines}" if lines else ""
