"""A real worker process on a real broker, and a small V2 server for it to ask."""

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pika
import pytest
from flask import Flask, Response, request
from werkzeug.serving import make_server

from straightline import names
from straightline.contracts import Heartbeat, Outcome, OutcomeBatch, ReplyAddress, Ticket
from straightline.ids import new_id
from tests.integration.workers.worker_process import ROOT, WorkerProcess

MODEL = """
name = "double"
version = "1"
flavour = "python"
entry = "double:predict"
[[inputs]]
name = "x"
datatype = "FP32"
shape = [-1, 2]
[[outputs]]
name = "y"
datatype = "FP32"
shape = [-1, 2]
"""


class V2Server:
    """Doubles what it is sent; refuses numbers below zero; waits while `gate` is shut; may be `failing`."""

    def __init__(self, port: int = 0) -> None:
        self.calls: list[int] = []
        self.seen: list[tuple[float, bool]] = []  # when it was asked, and whether it failed
        self.failing = False
        self.takes = 0.0  # seconds
        self.gate = threading.Event()
        self.gate.set()
        app = Flask(__name__)

        @app.get("/v2/health/ready")
        def ready() -> dict[str, bool]:
            return {"ready": True}

        @app.post("/v2/models/double/versions/1/infer")
        def infer() -> Any:
            tensor = request.get_json()["inputs"][0]
            self.calls.append(tensor["shape"][0])
            self.seen.append((time.monotonic(), self.failing))
            self.gate.wait(60)
            time.sleep(self.takes)
            if self.failing:
                return Response("out of order", 500)
            if len(tensor["data"]) != math.prod(tensor["shape"]):
                return Response('{"error": "x is too short"}', 400)
            if any(value < 0 for value in tensor["data"]):
                return Response('{"error": "x is below zero"}', 422)
            doubled = [2 * value for value in tensor["data"]]
            return {"model_name": "double", "outputs": [{**tensor, "name": "y", "data": doubled}]}

        self._server = make_server("127.0.0.1", port, app, threaded=True)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Bench:
    """The other ends of a worker: places as the scheduler does, reads as the recorder and the clients do."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connect()

    def connect(self) -> None:
        self.connection = pika.BlockingConnection(pika.URLParameters(self.url))
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()
        self.replies = self._listen(names.REPLIES, "me")
        self.heartbeats = self._listen(names.SIGNALS, "heartbeat")
        self.attempts = self._listen(names.OUTCOMES, "attempt")
        self.feedback = self._listen(names.SIGNALS, "feedback")

    def _listen(self, exchange: str, key: str) -> str:
        queue: str = self.channel.queue_declare("", exclusive=True).method.queue
        self.channel.queue_bind(queue, exchange, key)
        return queue

    def ticket(self, data: list[float], *, deadline: float = 60.0, **fields: Any) -> Ticket:
        tensor = {"name": "x", "shape": [len(data) // 2, 2], "datatype": "FP32", "data": data}
        body = {"id": new_id(), "model": "double", "submitted_at": time.time(), "data": {"inputs": [tensor]}}
        now = time.time()
        return Ticket(
            request=msgspec.Raw(msgspec.json.encode(body)),
            digest="d",
            submitted_at=now,
            received_at=now,
            placed_at=now,
            deadline=now + deadline,
            r_d=10,
            backend="local",
            reply=ReplyAddress(to="me", correlation_id="c"),
            **fields,
        )

    def place(self, *tickets: Ticket, backend: str = "local") -> str:
        task_id = new_id()
        embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
        self.publish(
            msgspec.json.encode([[list(tickets)], {}, embed]),
            {"task": names.PREDICT_TASK, "id": task_id, "argsrepr": f"{len(tickets)} of double"},
            backend=backend,
        )
        return task_id

    def publish(
        self, body: bytes, headers: dict[str, Any] | None, *, backend: str = "local", **properties: Any
    ) -> None:
        known = {"content_type": "application/json", "content_encoding": "utf-8", "delivery_mode": 2}
        self.channel.basic_publish(
            names.PLACEMENTS,
            backend,
            body,
            pika.BasicProperties(headers=headers, **(known | properties)),
            mandatory=True,
        )

    def get(self, queue: str, timeout: float = 20.0) -> bytes:
        """Take the next message of a queue."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            method, _, body = self.channel.basic_get(queue, auto_ack=True)
            if method is not None:
                return bytes(body)
            self.connection.process_data_events(0.02)
        raise AssertionError(f"nothing came into {queue} within {timeout} s")

    def outcomes(self, count: int, timeout: float = 20.0) -> list[Outcome]:
        """Take this number of outcomes from the recorder's queue."""
        found: list[Outcome] = []
        while len(found) < count:
            found += msgspec.json.decode(self.get(names.OUTCOMES_QUEUE, timeout), type=OutcomeBatch).outcomes
        return found

    def wait_for(self, what: str, condition: Callable[[], bool], timeout: float = 20.0) -> None:
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, f"{what} did not come within {timeout} s"
            self.connection.process_data_events(0.02)

    def depth(self, queue: str) -> int:
        """Count the messages that are ready in a queue."""
        count: int = self.channel.queue_declare(queue, passive=True).method.message_count
        return count

    def heartbeat(self) -> Heartbeat:
        return msgspec.json.decode(self.get(self.heartbeats), type=Heartbeat)

    def close(self) -> None:
        self.connection.close()


@pytest.fixture
def v2_server() -> Iterator[V2Server]:
    server = V2Server()
    yield server
    server.close()


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    bundle = tmp_path / "models" / "double" / "1"
    bundle.mkdir(parents=True)
    (bundle / "model.toml").write_text(MODEL)
    return tmp_path / "models"


@pytest.fixture
def bench(broker_url: str) -> Iterator[Bench]:
    bench = Bench(broker_url)
    yield bench
    bench.close()


@pytest.fixture
def worker_environ(user_urls: dict[str, str], v2_server: V2Server, models_dir: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "STRAIGHTLINE_BROKER_URL": user_urls["pool-local"],
        "STRAIGHTLINE_LOCAL_URL": v2_server.url,
        "STRAIGHTLINE_MODELS_DIR": str(models_dir),
    }


@pytest.fixture
def start_worker(worker_environ: dict[str, str], bench: Bench) -> Iterator[Callable[..., WorkerProcess]]:
    """Start a worker and wait for its first heartbeat."""
    started: list[WorkerProcess] = []

    def start(environ: dict[str, str] | None = None, **options: Any) -> WorkerProcess:
        worker = WorkerProcess(worker_environ | (environ or {}), **options)
        started.append(worker)
        bench.wait_for("a worker", lambda: "ready." in worker.log or worker.process.poll() is not None)
        assert worker.process.poll() is None, worker.log
        return worker

    yield start
    for worker in started:
        worker.close()
