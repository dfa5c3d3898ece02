"""A real scheduler and a real pool on a real broker, around a scripted backend."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pika
import pytest

from straightline import names
from straightline.client import Client
from straightline.contracts import Heartbeat, Outcome, OutcomeBatch
from tests.integration.workers.conftest import MODEL, V2Server
from tests.integration.workers.worker_process import ROOT, WorkerProcess

PATIENCE = 20.0


class System:
    """Starts the parts, and sees what goes over the broker."""

    def __init__(self, url: str, environ: dict[str, str]) -> None:
        self.url = url
        self._environ = environ
        self._schedulers: list[subprocess.Popen[bytes]] = []
        self._workers: list[WorkerProcess] = []
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self._connection.channel()
        self.channel.confirm_delivery()

    def start_scheduler(self, **environ: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-m", "scheduler"], cwd=ROOT, env=self._environ | environ)
        self._schedulers.append(process)
        return process

    def start_worker(self, slots: int = 2) -> WorkerProcess:
        worker = WorkerProcess(self._environ, slots=slots)
        self._workers.append(worker)
        return worker

    def pretend_pool(self, slots: int = 100, interval: float = 60.0) -> None:
        """Tell the scheduler of a local pool, as if one was there."""
        beat = Heartbeat(
            backend="local",
            worker="local@pretended",
            sent_at=time.time(),
            interval=interval,
            slots=slots,
            active=0,
            healthy=True,
        )
        self.channel.basic_publish(names.SIGNALS, "heartbeat", msgspec.json.encode(beat))

    def placed(self, count: int) -> bool:
        """Pretend a pool, and say whether so many placements wait for it."""
        self.pretend_pool()
        return self.depth(names.backend_queue("local")) == count

    def depth(self, queue: str) -> int:
        return int(self.channel.queue_declare(queue, passive=True).method.message_count)

    def outcomes(self) -> list[Outcome]:
        """Take what waits for the recorder."""
        found: list[Outcome] = []
        while (message := self.channel.basic_get(names.OUTCOMES_QUEUE, auto_ack=True))[2] is not None:
            if message[1].type == names.TYPE_OUTCOMES:  # and not a lease
                found += msgspec.json.decode(message[2], type=OutcomeBatch).outcomes
        return found

    def until(self, what: str, condition: Callable[[], Any], timeout: float = PATIENCE) -> Any:
        end = time.monotonic() + timeout
        while not (found := condition()):
            assert time.monotonic() < end, f"{what} did not come within {timeout} s"
            self._connection.process_data_events(0.02)
        return found

    def close(self) -> None:
        for worker in self._workers:
            worker.close()
        for scheduler in self._schedulers:
            if scheduler.poll() is None:
                scheduler.kill()
            scheduler.wait()
        self._connection.close()


@pytest.fixture
def v2_server() -> Iterator[V2Server]:
    server = V2Server()
    yield server
    server.close()


@pytest.fixture
def backend_url(v2_server: V2Server) -> str:
    """Where the local backend of the system is."""
    return v2_server.url


@pytest.fixture
def system(broker_url: str, backend_url: str, tmp_path: Path) -> Iterator[System]:
    bundle = tmp_path / "models" / "double" / "1"
    bundle.mkdir(parents=True)
    (bundle / "model.toml").write_text(MODEL)
    system = System(
        broker_url,
        os.environ
        | {
            "PYTHONPATH": str(ROOT),
            "STRAIGHTLINE_BROKER_URL": broker_url,
            "STRAIGHTLINE_LOCAL_URL": backend_url,
            "STRAIGHTLINE_MODELS_DIR": str(bundle.parents[1]),
        },
    )
    yield system
    system.close()


@pytest.fixture
def client(broker_url: str) -> Iterator[Client]:
    with Client(broker_url) as client:
        yield client
