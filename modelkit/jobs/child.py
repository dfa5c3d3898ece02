"""The runtime `local`: jobs as child processes, for machines without a container engine.

The limits of time and memory apply as in a container. There is no other isolation: a job reaches the network
and the files of its user.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import modelkit
from modelkit.job_runtime import runner
from modelkit.jobs.job import Job, JobRefused, JobResult, Listener
from modelkit.jobs.stream import OutputParser

_PASSED_VARIABLES: Final = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
_PASSED_PREFIXES: Final = ("LC_", "CUDA_", "NVIDIA_", "OMP_")
EXIT_TIMEOUT_S: Final = 10.0


class ChildRuntime:
    """Runs jobs with this interpreter.

    Args:
        environ: environment; jobs inherit only paths and locale, no settings or secrets.
    """

    name: Final = "local"

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environment = {
            name: value
            for name, value in environ.items()
            if name in _PASSED_VARIABLES or name.startswith(_PASSED_PREFIXES)
        } | {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}

    def run(self, job: Job, listener: Listener) -> JobResult:
        """Run a job; see `Runtime.run`."""
        stream = OutputParser(listener)
        began = time.monotonic()
        try:
            process = subprocess.Popen(
                [sys.executable, "-u", runner.__file__, json.dumps(_runner_argument(job))],
                cwd=job.output,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        except OSError as error:
            raise JobRefused(f"{job.title} could not be started: {error}") from error
        assert process.stdout is not None  # noqa: S101 - PIPE was requested
        try:
            while chunk := os.read(process.stdout.fileno(), 65536):
                stream.feed(chunk)
            code = process.wait(EXIT_TIMEOUT_S)
        finally:
            # On SIGTERM the runner kills the processes of the job.
            process.terminate()
            process.wait()
            process.stdout.close()
        stream.close()
        seconds = time.monotonic() - began
        return stream.result(code=code, out_of_memory=False, timed_out=False, seconds=seconds)


def _runner_argument(job: Job) -> dict[str, object]:
    return {
        "kind": job.kind,
        "entry": job.step.entry,
        "project": str(job.project),
        "output": str(job.output),
        "inputs": None if job.inputs is None else str(job.inputs),
        "bundle": None if job.bundle is None else str(job.bundle),
        "code": str(Path(modelkit.__file__ or "").resolve().parents[1]),
        "timeout": job.step.timeout,
        "memory": job.memory_bytes,
    }
