"""Batch jobs of the digits model: their input, the commands or calls that run them, and their progress."""

import http.client
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from benchmarks.rig import ROOT, Rig
from benchmarks.support.full_stack import INPUT
from script.support.errors import StackError

MODEL: Final = "digits"
SETTLE_S: Final = 5.0
"""Time after a job's first answers, or after its stop, that is not measured."""


def write_lines(source: Path, count: int) -> None:
    """Write the input: `count` lines with the same request."""
    data = json.dumps(json.loads(INPUT.read_text()))
    with source.open("w") as file:
        for number in range(count):
            file.write(f'{{"custom_id": "{number}", "data": {data}}}\n')


class AnswerFile:
    """Counts the lines of a growing file, and reads each of them once.

    Args:
        file: need not exist yet.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read = self._lines = 0

    def count(self) -> int:
        """Return the number of lines now."""
        if self._file.exists():
            if self._file.stat().st_size < self._read:  # a job that died goes back to its last checkpoint
                self._read = self._lines = 0
            with self._file.open("rb") as file:
                file.seek(self._read)
                for piece in iter(lambda: file.read(1 << 20), b""):
                    self._read += len(piece)
                    self._lines += piece.count(b"\n")
        return self._lines


class Job(Protocol):
    """A job that runs to its end.

    Attributes:
        pid: of its own process, if it has one.
    """

    pid: int | None

    def start(self) -> None:
        """Begin the job."""

    def done(self) -> int:
        """Return the number of lines done.

        Raises:
            StackError: the job failed.
        """


class CommandLineJob:
    """A job of `straightline batch submit`.

    Args:
        rig: with a full stack.
        folder: for its files.
        lines: of its input.
    """

    def __init__(self, rig: Rig, folder: Path, lines: int) -> None:
        source, out = folder / "lines.jsonl", folder / "answers.jsonl"
        write_lines(source, lines)
        words = ("batch", "submit", str(source), "--model", MODEL, "--out", str(out), "--json")
        self._argv = (sys.executable, "-m", "straightline", *words)
        self._environment = rig.environment
        self._process: subprocess.Popen[str] | None = None
        self._answers = AnswerFile(out)
        self.pid: int | None = None
        self.ended = False

    def running(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Begin the job, or take it up again."""
        self._process = subprocess.Popen(
            self._argv, cwd=ROOT, env=self._environment, stdout=subprocess.PIPE, text=True
        )
        self.pid = self._process.pid

    def done(self) -> int:
        """Return the number of lines with an answer.

        Raises:
            StackError: the job failed.
        """
        if self._process is not None and self._process.poll() not in (None, 0):
            raise StackError(f"batch submit ended with status {self._process.returncode}")
        return self._answers.count()

    def resume(self) -> None:
        """Begin the job or take it up again, and return when it is well under way."""
        before = self._answers.count()
        self.start()
        while self.running() and self._answers.count() == before:
            time.sleep(0.05)
        time.sleep(SETTLE_S)

    def stop(self) -> None:
        """Stop the job as Ctrl-C does, and wait until its requests on the way have ended."""
        assert self._process is not None
        if self.running():
            self._process.send_signal(signal.SIGINT)
        report = json.loads(self._process.communicate()[0])
        if report["failed"] or report["refused"]:
            raise StackError(f"batch submit: requests failed: {report}")
        self.ended = report["state"] == "done"
        if not self.ended:
            time.sleep(SETTLE_S)


class UploadedJob:
    """A job of the gateway, with the input as its upload.

    Args:
        rig: with a full stack.
        folder: for its files.
        lines: of its input.
    """

    def __init__(self, rig: Rig, folder: Path, lines: int) -> None:
        self._source = folder / "lines.jsonl"
        write_lines(self._source, lines)
        self._host = urlsplit(rig.environment["STRAIGHTLINE_GATEWAY_URL"]).netloc
        self._key = {"Authorization": f"Bearer {rig.environment['STRAIGHTLINE_API_KEY']}"}
        self.pid: int | None = None

    def start(self) -> None:
        """Upload the input; the job begins."""
        with self._source.open("rb") as file:
            length = str(self._source.stat().st_size)
            headers = {"Content-Type": "application/jsonl", "Content-Length": length}
            self._id = self._ask("POST", f"/v1/batches?model={MODEL}", file, headers)["id"]

    def done(self) -> int:
        """Return the number of lines that succeeded.

        Raises:
            StackError: the job failed.
        """
        status = self._ask("GET", f"/v1/batches/{self._id}")
        if status["state"] not in ("waiting", "running", "done"):
            raise StackError(f"the gateway's batch job is {status['state']}")
        return int(status["succeeded"])

    def _ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        connection = http.client.HTTPConnection(self._host)
        connection.request(method, path, body, (headers or {}) | self._key)
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer
