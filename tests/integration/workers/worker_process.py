"""A Celery worker in a process of its own."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


class WorkerProcess:
    """`celery -A workers worker` as a child of its own process group."""

    def __init__(
        self,
        environ: dict[str, str],
        queue: str = "straightline.local",
        slots: int = 2,
        node: str = "local@%h",
    ) -> None:
        self.environ = environ
        command = [sys.executable, "-m", "celery", "-A", "workers", "worker", "-Q", queue]
        command += ["-n", node, "-c", str(slots), "-l", "INFO"]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)

    @property
    def log(self) -> str:
        return "".join(self.lines)

    def end(self, number: int = signal.SIGTERM, timeout: float = 20.0) -> int:
        self.process.send_signal(number)
        code = self.process.wait(timeout)
        self._reader.join()
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join()
