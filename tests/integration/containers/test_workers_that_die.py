"""What a worker leaves behind when it ends, well or badly: nothing, at the latest when another one starts."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from tests.integration.containers.bundles import PROBE, tell
from tests.integration.containers.conftest import ROOT, MakeBackend, ProcessInspector

pytestmark = pytest.mark.integration
StartWorker = Callable[[], subprocess.Popen[str]]


def until(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


@pytest.fixture
def start_worker(environ: dict[str, str], tmp_path: Path) -> Iterator[StartWorker]:
    """Starts worker processes that have a warm server when this returns."""
    started: list[subprocess.Popen[str]] = []
    private = {**environ, "TMPDIR": str(tmp_path)}

    def start() -> subprocess.Popen[str]:
        worker = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.containers.a_worker"],
            cwd=ROOT,
            env=private,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(worker)
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        return worker

    yield start
    for worker in started:
        worker.kill()
        worker.wait()
        assert worker.stdout is not None
        worker.stdout.close()


@pytest.fixture
def servers_of(driver: str, environ: dict[str, str], tmp_path: Path) -> Iterator[Callable[[int], int]]:
    """Counts the servers that a worker's process has, alive or dead."""
    if driver == "process":
        mark = f"STRAIGHTLINE_MODELS_DIR={tmp_path}".encode()
        yield lambda _pid: sum(mark in _environment(place) for place in Path("/proc").glob("[0-9]*"))
        return
    client = docker.from_env(environment=dict(environ))

    def count(pid: int) -> int:
        label = f"straightline.owner.pid={pid}"
        return len(client.containers.list(all=True, filters={"label": label}, sparse=True))

    yield count
    client.close()


def test_a_stopped_worker_leaves_no_containers(
    start_worker: StartWorker, servers_of: Callable[[int], int]
) -> None:
    worker = start_worker()
    assert servers_of(worker.pid) > 0
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    assert servers_of(worker.pid) == 0


def test_a_killed_workers_containers_are_removed_by_the_next(
    start_worker: StartWorker,
    servers_of: Callable[[int], int],
    make_backend: MakeBackend,
    tmp_path: Path,
) -> None:
    worker = start_worker()
    assert servers_of(worker.pid) > 0
    worker.kill()
    worker.wait()
    make_backend().health()
    until(lambda: servers_of(worker.pid) == 0, "what the killed worker left is gone")
    until(lambda: not list(tmp_path.glob("straightline-model-*")), "its directory is gone too")


def test_workers_leave_each_others_servers_alone(
    start_worker: StartWorker, servers_of: Callable[[int], int], make_backend: MakeBackend
) -> None:
    one, other = start_worker(), start_worker()
    backend = make_backend()
    backend.health()
    backend._driver.remove_orphans()
    assert servers_of(one.pid) > 0
    assert servers_of(other.pid) > 0


@pytest.mark.parametrize("driver", ["process"])
def test_a_server_whose_supervisor_is_killed_exits_too(make_backend: MakeBackend) -> None:
    backend = make_backend()
    backend.infer(PROBE, tell("hello"), 60)
    (server,) = ProcessInspector().servers()
    guardian = Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[1]
    os.kill(int(guardian), signal.SIGKILL)
    until(lambda: not Path(f"/proc/{server}").exists(), "the server has ended")
    assert backend.infer(PROBE, tell("hello"), 60).cold_start is not None


def _environment(place: Path) -> bytes:
    try:
        return (place / "environ").read_bytes()
    except OSError:
        return b""
