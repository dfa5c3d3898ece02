"""Model servers and function hosts as processes on free ports, and helpers to inspect them."""

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import requests
from botocore.config import Config

ROOT = Path(__file__).resolve().parents[3]
DEADLINE = 30.0
_deployments = itertools.count()


def until(condition: Callable[[], Any], what: str) -> Any:
    """Poll until `condition` returns something true."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {DEADLINE} s: {what}")


def descendants(pid: int) -> list[int]:
    """Return the living processes below `pid`."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                children.setdefault(int(parent), []).append(int(entry.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def command(pid: int) -> bytes:
    """Return the command line of a process; empty if it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def unread_bytes(pid: int) -> int:
    """Count the received bytes that a process has not read from its TCP connections."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]"))
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return sum(int(row[4].partition(":")[2], 16) for row in rows if row[9] in inodes)


class Served:
    """A process that listens on a port."""

    def __init__(self, command: list[str], environment: dict[str, str], port: int, path: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), **environment}
        )
        self._path = path

    def wait_until_ready(self) -> None:
        def answers() -> bool:
            assert self.process.poll() is None, "the process ended before it listened"
            with contextlib.suppress(requests.ConnectionError):
                return requests.get(self.url + self._path, timeout=5).ok
            return False

        until(answers, f"{self.url} answers")

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(DEADLINE)


class FunctionHost(Served):
    """A function host, its packages and a boto3 client."""

    def __init__(self, packages: Path, settings: dict[str, str]) -> None:
        port = free_port()
        super().__init__(
            [sys.executable, "-m", "function_host", "--packages", str(packages), "--port", str(port)],
            {f"STRAIGHTLINE_FUNCTIONS_{name.upper()}": value for name, value in settings.items()}
            | {"A_SECRET": "of the host"},
            port,
            "/2015-03-31/functions",
        )
        self.packages = packages
        self.client = boto3.client(
            "lambda",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="none",
            aws_secret_access_key="none",
            config=Config(
                retries={"total_max_attempts": 1}, max_pool_connections=16, read_timeout=DEADLINE, proxies={}
            ),
        )

    def deploy(self, name: str, code: str, **settings: Any) -> None:
        """Write a function package; `code` defines `handler(event, context)`."""
        directory = self.packages / name
        directory.mkdir(exist_ok=True)
        (directory / "function.py").write_text(code)
        lines = [f'name = "{name}"', 'handler = "function.handler"']
        lines += [f"{key} = {value}" for key, value in settings.items()]
        lines.append(f"deployment = {next(_deployments)}")  # makes each package another revision
        (directory / "function.toml").write_text("\n".join(lines))

    def instances(self) -> list[int]:
        """Return the processes below the serving process: its instances."""
        return [pid for worker in self.workers() for pid in descendants(worker)]

    def workers(self) -> list[int]:
        """Return the serving process, gunicorn's only worker."""
        tasks = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in tasks.read_text().split()]


class ModelServer(Served):
    """A model server under gunicorn."""

    def __init__(self, models: Path, settings: dict[str, str]) -> None:
        port = free_port()
        settings = {"bind": f"127.0.0.1:{port}", **settings}
        super().__init__(
            [
                *(sys.executable, "-m", "gunicorn", "-c", "python:model_server.gunicorn_conf"),
                "model_server.app:create()",
            ],
            {f"STRAIGHTLINE_SERVE_{name.upper()}": value for name, value in settings.items()}
            | {"STRAIGHTLINE_MODELS_DIR": str(models)},
            port,
            "/v2/health/ready",
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


HostMaker = Callable[..., FunctionHost]
