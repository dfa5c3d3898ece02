"""The driver that runs model servers as child processes, for machines without a container engine.

It has neither isolation nor limits: it is for demonstrations and tests, and is only used if configured.
"""

import contextlib
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from threading import Thread
from typing import IO, Final

from straightline.contracts import ModelSpec
from straightline.errors import ConfigurationError
from straightline.models.catalogue import read_catalogue
from straightline.support.event_log import EventLogger
from workers.containers.pool.diagnosis import MAX_LOG_LINES
from workers.containers.pool.driver import Exit
from workers.containers.process import process_supervisor
from workers.protocol.base import Health
from workers.protocol.errors import BackendFault

NOTICE: Final = (
    "STRAIGHTLINE_CONTAINER_DRIVER=process: models run as child processes of this worker, not in containers, "
    "without isolation and limits"
)
_COMMAND: Final = (
    *(sys.executable, "-m", "gunicorn"),
    *("--config", "python:model_server.gunicorn_conf"),
    "model_server.app:create()",
)
_INHERITED_VARIABLES: Final = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH"),
    *("STRAIGHTLINE_RUN", "STRAIGHTLINE_SERVE_THREADS", "STRAIGHTLINE_SERVE_MAX_BODY"),
)
"""The variables that a server inherits: none with credentials."""
_STOP_TIMEOUT_S: Final = process_supervisor.TERM_GRACE_S + 3.0
_log = EventLogger(__name__)


class ProcessServer:
    """A supervisor process with a model server below it."""

    def __init__(self, title: str, url: str, process: subprocess.Popen[bytes]) -> None:
        self.title = title
        self.url = url
        self._process = process
        self._lines: deque[str] = deque(maxlen=MAX_LOG_LINES)
        self._reader = Thread(target=self._read, name=f"log of {title}", daemon=True)
        self._reader.start()

    def exit(self) -> Exit | None:
        """Return how it exited; see `Server.exit`."""
        code = self._process.poll()
        if code is None:
            return None
        self._reader.join(1.0)  # the last lines explain the exit
        return Exit(code=code if code >= 0 else 128 - code, out_of_memory=False, last_lines=self.last_lines())

    def memory_ran_out(self, since: float) -> bool:  # noqa: ARG002 - there is no limit to exceed
        """Return False: a child process has no limit of its own."""
        return False

    def last_lines(self) -> str:
        """Return the end of its log."""
        return "\n".join(self._lines.copy())

    def remove(self) -> None:
        """Stop it, and wait for its exit."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            _log.warning("server_killed", server=self.title)
            self._process.kill()
            self._process.wait()
        self._reader.join(1.0)

    def _read(self) -> None:
        output: IO[bytes] | None = self._process.stdout
        if output is None:
            return
        with output:
            for line in output:
                self._lines.append(line.decode(errors="replace").rstrip())


class ProcessDriver:
    """Starts `model_server` under gunicorn on a free port of the loopback interface.

    Args:
        models_dir: directory of the bundles.
        environ: the worker's environment.
        cwd: from where `model_server` can be imported.
    """

    def __init__(self, models_dir: Path, environ: Mapping[str, str], cwd: Path) -> None:
        self._models_dir = models_dir
        self._environment = {name: environ[name] for name in _INHERITED_VARIABLES if name in environ}
        self._cwd = cwd

    def start(self, model: ModelSpec) -> ProcessServer:
        """Start a server; see `Driver.start`."""
        bundle = (self._models_dir / model.name / model.version).absolute()
        if not (bundle / "model.toml").is_file():
            raise BackendFault(
                f"{self._models_dir} has no bundle of {model.name} {model.version}: deploy it",
                error_class="not_deployed",
            )
        # Bound here and inherited by the server: a free port that was only looked up may be taken meanwhile.
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
            # Connections inherit the option when they come, which may be before the server sets it.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            try:
                process = subprocess.Popen(
                    [
                        # Isolated and without site packages, to start within milliseconds.
                        *(sys.executable, "-I", "-S", process_supervisor.__file__),
                        *(str(bundle), model.name, model.version),
                        *_COMMAND,
                    ],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    cwd=self._cwd,
                    env={
                        **self._environment,
                        "PYTHONUNBUFFERED": "1",
                        "STRAIGHTLINE_LOG_FORMAT": "text",  # its last lines are part of error messages
                        "STRAIGHTLINE_SERVE_BIND": f"fd://{listener.fileno()}",
                    },
                    pass_fds=(listener.fileno(),),
                    start_new_session=True,
                )
            except OSError as error:
                raise BackendFault(
                    f"cannot start the server of {model.name} {model.version}: {error}",
                    error_class="cold_start_failed",
                ) from error
        return ProcessServer(f"the process of {model.name} {model.version} (pid {process.pid})", url, process)

    def health(self) -> Health:
        """Return that it works, with a notice that it does not isolate."""
        return Health(ok=True, reason=NOTICE)

    def models(self) -> list[str] | None:
        """Return the names of all bundles; None if they cannot be read now."""
        try:
            return sorted(read_catalogue(self._models_dir).models)
        except ConfigurationError:
            return None

    def update_images(self, images: Mapping[tuple[str, str], str]) -> None:
        """Do nothing: it runs no images."""

    def remove_orphans(self) -> list[str]:
        """Return nothing: a child process ends with its worker."""
        return []

    def close(self) -> None:
        """Do nothing: it has no connections."""
