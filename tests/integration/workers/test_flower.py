"""Flower shows the pools and their tasks, and nothing of what the requests contain."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from broker_config.apply import apply
from tests.events import logged_lines
from tests.integration.modelkit.processes import free_port
from tests.integration.workers.worker_process import WorkerProcess
from workers.celery_ext.app import create

pytestmark = pytest.mark.integration
SECRET = 4711.125


class Flower:
    """Flower in a process of its own, asked over its HTTP API."""

    def __init__(self, environ: dict[str, str], folder: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.auth = ("user", "word")
        settings = {
            "FLOWER_ADDRESS": "127.0.0.1",
            "FLOWER_PORT": str(port),
            "FLOWER_BASIC_AUTH": ":".join(self.auth),
            "FLOWER_READ_ONLY": "true",
        }
        command = [sys.executable, "-m", "celery", "-A", "workers", "flower"]
        self.process = subprocess.Popen(command, cwd=folder, env=environ | settings)

    def get(self, path: str) -> Any:
        answer = requests.get(self.url + path, auth=self.auth, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def until(self, path: str, wanted: Any) -> Any:
        """Ask again until the answer is wanted."""
        end = time.monotonic() + 40
        answer: Any = None
        while time.monotonic() < end:
            assert self.process.poll() is None
            try:
                answer = self.get(path)
                if wanted(answer):
                    return answer
            except requests.RequestException as error:
                answer = error
            time.sleep(0.1)
        raise AssertionError(f"{path} answers {answer!r}")

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture
def flower_environ(worker_environ: dict[str, str], user_urls: dict[str, str]) -> dict[str, str]:
    return {**worker_environ, "STRAIGHTLINE_BROKER_URL": user_urls["flower"]}


@pytest.fixture
def flower(flower_environ: dict[str, str], tmp_path: Path) -> Iterator[Flower]:
    flower = Flower(flower_environ, tmp_path)
    yield flower
    flower.close()


def test_flower_shows_pools_and_redacted_tasks(flower: Flower, bench: Any, start_worker: Any) -> None:
    flower.until("/api/workers?status=1", lambda answer: answer == {})
    start_worker()
    workers = flower.until("/api/workers?status=1", lambda answer: any(answer.values()))
    (name,) = workers
    assert name.startswith("local@")
    task_id = bench.place(bench.ticket([SECRET, 0.0]), bench.ticket([SECRET, 1.0]))
    bench.outcomes(2)
    tasks = flower.until("/api/tasks", lambda answer: answer.get(task_id, {}).get("state") == "SUCCESS")
    task = tasks[task_id]
    assert (task["name"], task["args"], task["worker"]) == ("straightline.predict", "2 of double", name)
    assert "2 succeeded" in task["result"]
    assert str(SECRET) not in repr(tasks)


def test_flower_shows_a_running_placement_without_its_content(
    flower_environ: dict[str, str], bench: Any, start_worker: Any, v2_server: Any
) -> None:
    start_worker()
    v2_server.gate.clear()
    bench.place(bench.ticket([SECRET, 0.0]))
    bench.wait_for("a call", lambda: len(v2_server.calls) == 1)
    app = create(flower_environ)
    ((active,),) = app.control.inspect(timeout=5.0, limit=1).active().values()
    assert active["args"] == "1 of double"
    assert str(SECRET) not in repr(active)


def test_flower_asks_for_a_password(flower: Flower) -> None:
    flower.until("/api/workers?status=1", lambda answer: True)
    assert requests.get(f"{flower.url}/api/workers", timeout=10).status_code == 401


def test_remote_control_is_read_only(flower_environ: dict[str, str], bench: Any, start_worker: Any) -> None:
    start_worker()
    control = create(flower_environ).control
    for order in (
        "shutdown",
        "pool_grow",
        "pool_restart",
        "cancel_consumer",
        "add_consumer",
        "memdump",
        "revoke",
    ):
        (answer,) = control.broadcast(order, reply=True, timeout=5.0, limit=1)
        assert [set(said) for said in answer.values()] == [{"error"}], order
    (answer,) = control.ping(timeout=5.0, limit=1)
    assert list(answer.values()) == [{"ok": "pong"}]
    bench.place(bench.ticket([1.0, 2.0]))
    bench.outcomes(1)


def test_a_worker_waits_for_a_queue_that_it_may_not_declare(
    bench: Any, worker_environ: dict[str, str], broker_url: str
) -> None:
    bench.channel.queue_delete("straightline.local")
    worker = WorkerProcess(worker_environ)
    try:
        bench.wait_for("a refusal", lambda: bool(logged_lines(worker.log, "queue_not_consumed")))
        apply(broker_url)
        bench.place(bench.ticket([1.0, 2.0]))
        bench.outcomes(1)
        assert worker.log.count("NOT_FOUND") < 20, "it asks again at leisure"
    finally:
        worker.close()
