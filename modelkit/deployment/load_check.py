"""Test load of a bundle in a child process."""

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

_PASSED_VARIABLES: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
"""Variables that the child inherits: none has credentials."""
OUTPUT_TAIL_LINES: Final = 15


def check_bundle_loads(bundle: Path, title: str, ready_timeout: float, environ: Mapping[str, str]) -> None:
    """Load a bundle as a model server does, in a child process.

    Args:
        bundle: directory of the bundle, with its packages.
        title: name and version for messages.
        ready_timeout: seconds that it may take.
        environ: environment; only paths and locale are inherited.

    Raises:
        NotReady: the bundle cannot be loaded, crashes, or takes too long.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryDirectory() as directory:
        process = subprocess.Popen(
            [sys.executable, "-m", "model_server.load_check", str(bundle.resolve())],
            cwd=directory,
            env=_environment(environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            ended = process.wait(ready_timeout)
        except subprocess.TimeoutExpired:
            raise NotReady(
                f"{title} did not load within {ready_timeout:g} s. Make loading faster, or raise "
                "STRAIGHTLINE_DEPLOY_PATIENCE" + _output_tail(output.fileno())
            ) from None
        finally:
            _kill_group(process)
        if ended:
            raise NotReady(
                f"{title} {_describe_exit(ended)}. Fix it and package it again{_output_tail(output.fileno())}"
            )


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    code = Path(modelkit.__file__ or "").resolve().parents[1]
    inherited = {name: environ[name] for name in _PASSED_VARIABLES if name in environ}
    return inherited | {"PYTHONPATH": str(code), "OMP_NUM_THREADS": "1"}


def _describe_exit(code: int) -> str:
    if code < 0:
        return f"crashes when loaded ({signal.Signals(-code).name})"
    return "cannot be loaded"


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the child and all processes that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _output_tail(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    text = os.pread(descriptor, 8192, max(0, size - 8192)).decode(errors="replace").strip()
    lines = "\n".join(text.splitlines()[-OUTPUT_TAIL_LINES:])
    return f". Its output ends:\n{lines}" if lines else ""
