"""One instance of a function: its process, the endpoint its runtime talks to, and its log."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final

from function_host.instances import launch
from function_host.instances.channel import Channel, InstanceGone
from function_host.instances.report import TAIL_BYTES
from function_host.instances.runtime_api import Endpoint
from function_host.packages import Function

MIB: Final = 1024 * 1024
_OOM_SHARE: Final = 0.9
"""A process that dies with so much of its memory in use is taken to have died of that."""


class Instance:
    """A process that runs a function's handler under AWS's runtime interface client."""

    def __init__(self, function: Function, number: int) -> None:
        """Start it; `channel.ready` tells when it can be invoked.

        Raises:
            OSError: the machine has no process or no port for it.
        """
        self.function = function
        self.number = number
        self.channel = Channel()
        self.started_at = time.monotonic()
        self._endpoint = Endpoint(self.channel)
        try:
            self._process = subprocess.Popen(
                _command(function),
                cwd=function.directory,
                env=_environment(function, self._endpoint.address, number),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                process_group=0,  # so that what a model starts ends with it
            )
        except OSError:
            self._endpoint.close()
            raise
        assert self._process.stdout is not None  # noqa: S101 - it was asked for above
        self._stream = self._process.stdout
        os.set_blocking(self._stream.fileno(), False)
        self._log = bytearray()
        self._log_lock = threading.Lock()  # the host's watcher drains it, and whoever invokes
        self._end_lock = threading.Lock()
        self._peak: int | None = None
        try:
            self.process_descriptor = os.pidfd_open(self._process.pid)
        except OSError:
            self._kill_group()
            self._process.wait()
            self._stream.close()
            self.channel.stop()
            self._endpoint.close()
            raise

    @property
    def log_descriptor(self) -> int:
        """The descriptor that the function's output is read from; `drain` does."""
        return self._stream.fileno()

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        with self._end_lock:
            return self._process.returncode is None and not _has_ended(self.process_descriptor)

    def drain(self) -> bool:
        """Take in what the function has written, and keep the end of it; False when its stream has ended."""
        with self._log_lock:
            while not self._stream.closed:
                try:
                    chunk = os.read(self._stream.fileno(), 65536)
                except BlockingIOError:
                    return True
                if not chunk:
                    return False
                self._log += chunk
                del self._log[: -4 * TAIL_BYTES]
            return False

    def take_log(self) -> bytes:
        """Return what was written since the last call; the function has written it before it answered."""
        self.drain()
        with self._log_lock:
            log = bytes(self._log)
            self._log.clear()
        return log

    def memory_used(self) -> int:
        """Return the highest resident size of its process so far in MiB."""
        if self._peak is not None:
            return self._peak
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii").splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) // 1024
        return 0

    def kill(self) -> None:
        """End the process and all it started, at once."""
        with self._end_lock:
            self._kill_group()

    def wait(self) -> InstanceGone:
        """Clear away what is left of the process, which has ended or was killed, and say how it ended."""
        os.waitid(os.P_PIDFD, self.process_descriptor, os.WEXITED | os.WNOWAIT)
        with self._end_lock:
            self._kill_group()
            _, status, usage = os.wait4(self._process.pid, 0)
            self._process.returncode = os.waitstatus_to_exitcode(status)
            os.close(self.process_descriptor)
        self._peak = usage.ru_maxrss // 1024
        self.drain()
        at_limit = self._peak >= _OOM_SHARE * self.function.memory or b"std::bad_alloc" in self._log
        gone = InstanceGone(
            _describe_exit(self._process.returncode), out_of_memory=self._process.returncode != 0 and at_limit
        )
        with self._log_lock:
            self._stream.close()
        self.channel.stop()
        self._endpoint.close()  # then it is known what the runtime had read
        self.channel.close(gone)
        return gone

    def _kill_group(self) -> None:
        # Until it is waited for, its id cannot be another's.
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


def _has_ended(process_descriptor: int) -> bool:
    poll = select.poll()
    poll.register(process_descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _command(function: Function) -> list[str]:
    memory = str(function.memory * MIB)
    # -I and -S: the launcher needs no site packages, and so starts in a few milliseconds.
    return [sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), memory, function.handler]


def _environment(function: Function, runtime_api: str, number: int) -> dict[str, str]:
    """Nothing of the host's environment: its settings and credentials are none of a function's business."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "TZ": ":UTC",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": f"[$LATEST]{number}",
        "AWS_REGION": "local",
        "LAMBDA_TASK_ROOT": str(function.directory),
        "_HANDLER": function.handler,
        # An instance has about one core, and its memory limit counts what each thread of these reserves.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
    } | function.environment


def _describe_exit(returncode: int) -> str:
    if returncode >= 0:
        return f"exit status {returncode}"
    names = {signal.SIGKILL: "killed", signal.SIGSEGV: "segmentation fault", signal.SIGABRT: "aborted"}
    return f"signal: {names.get(signal.Signals(-returncode), signal.Signals(-returncode).name.lower())}"
