"""One instance of a function: its process, the endpoint of its runtime, and its log."""

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
"""A process that ends with this share of its memory in use counts as out of memory."""


class Instance:
    """A process that runs a function's handler under AWS's runtime interface client."""

    def __init__(self, function: Function, number: int) -> None:
        """Start the process; `channel.ready` is done when it can be invoked.

        Raises:
            OSError: no process can be started, or no port is free.
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
                process_group=0,  # so that child processes of a model end with it
            )
        except OSError:
            self._endpoint.close()
            raise
        assert self._process.stdout is not None  # noqa: S101 - PIPE was requested
        self._stream = self._process.stdout
        os.set_blocking(self._stream.fileno(), False)
        self._log = bytearray()
        self._log_lock = threading.Lock()  # drained by the watcher and by invocations
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
        """Descriptor of the function's output, which `drain` reads."""
        return self._stream.fileno()

    @property
    def alive(self) -> bool:
        """Whether the process is running."""
        with self._end_lock:
            return self._process.returncode is None and not _has_ended(self.process_descriptor)

    def drain(self) -> bool:
        """Read the output of the function and keep its end; False at the end of the stream."""
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
        """Return the output since the last call. The function writes it before it responds."""
        self.drain()
        with self._log_lock:
            log = bytes(self._log)
            self._log.clear()
        return log

    def memory_used(self) -> int:
        """Return the peak resident size of the process in MiB."""
        if self._peak is not None:
            return self._peak
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii").splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) // 1024
        return 0

    def kill(self) -> None:
        """Kill the process and its children."""
        with self._end_lock:
            self._kill_group()

    def wait(self) -> InstanceGone:
        """Reap the process, which has ended or was killed, and return the cause."""
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
        self._endpoint.close()  # after this it is known what the runtime has read
        self.channel.close(gone)
        return gone

    def _kill_group(self) -> None:
        # Until it is reaped, its id is not reused.
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


def _has_ended(process_descriptor: int) -> bool:
    poll = select.poll()
    poll.register(process_descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _command(function: Function) -> list[str]:
    memory = str(function.memory * MIB)
    # -I and -S: without site packages, the launcher starts in a few milliseconds.
    return [sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), memory, function.handler]


def _environment(function: Function, runtime_api: str, number: int) -> dict[str, str]:
    """Return the environment of the process, without settings or credentials of the host."""
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
        # An instance has about one core, and memory that library threads reserve counts against its limit.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
    } | function.environment


def _describe_exit(returncode: int) -> str:
    if returncode >= 0:
        return f"exit status {returncode}"
    names = {signal.SIGKILL: "killed", signal.SIGSEGV: "segmentation fault", signal.SIGABRT: "aborted"}
    return f"signal: {names.get(signal.Signals(-returncode), signal.Signals(-returncode).name.lower())}"
