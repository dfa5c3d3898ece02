"""The shortest whole path: a no-op model behind the local pool, with scheduler, recorder and reconciler."""

import time
from collections.abc import Callable
from typing import Any, Final

from celery import Celery
from sqlalchemy import create_engine, text

from benchmarks.peers.celery_app import make_app
from benchmarks.rig import Rig
from script.stack.processes import readiness_probes
from script.stack.services.ports import free_ports
from script.support.readiness import wait_until

START_TIMEOUT_S: Final = 60.0
MODEL: Final = """\
name = "noop"
version = "1"
flavour = "python"
entry = "noop:predict"
inputs = [{ name = "x", datatype = "FP32", shape = [-1, 64] }]
outputs = [{ name = "ok", datatype = "INT64", shape = [-1] }]
"""
CODE: Final = """\
import time

import numpy


def predict(inputs):
    rows = len(inputs["x"])
    end = time.thread_time() + rows * WORK
    while time.thread_time() < end:
        pass
    return {"ok": numpy.zeros(rows, dtype=numpy.int64)}
"""
BODY: Final = {"inputs": [{"name": "x", "shape": [1, 64], "datatype": "FP32", "data": [0] * 64}]}
"""About 400 bytes in its envelope."""


def start_path(rig: Rig, *, slots: int, threads: int = 8, work_s: float = 0.0) -> str:
    """Start the path on the rig's services, wait until its pool is healthy, and return the server's URL.

    Args:
        rig: has its services started.
        slots: requests that the pool takes at once.
        threads: of the pool and of the server.
        work_s: processor time in seconds that the model takes for a row; 0 for the no-op model.
    """
    rig.say("starting server, scheduler, recorder, reconciler and pool")
    bundle = rig.folder("models/noop/1")
    (bundle / "model.toml").write_text(MODEL)
    (bundle / "noop.py").write_text(f"WORK = {work_s!r}\n{CODE}")
    (port,) = free_ports(1)
    url = rig.environment["STRAIGHTLINE_LOCAL_URL"] = f"http://127.0.0.1:{port}"
    server = ("gunicorn", "-c", "python:model_server.gunicorn_conf", "model_server.app:create()")
    bind = f"127.0.0.1:{port}"
    rig.start("server", *server, STRAIGHTLINE_SERVE_BIND=bind, STRAIGHTLINE_SERVE_THREADS=str(threads))
    rig.start("scheduler", "scheduler", STRAIGHTLINE_F="1000000")
    rig.start("recorder", "outcomes", "record")
    rig.start("reconciler", "outcomes", "reconcile")
    pool = ("celery", "-A", "workers", "worker", "-Q", "straightline.local", "-n", "local@%h")
    rig.start("pool", *pool, "-P", "threads", "-c", str(threads), STRAIGHTLINE_SLOTS=str(slots))
    with readiness_probes.broker_probe(rig.broker_url) as broker:
        until(lambda: broker.healthy("local"), "a healthy pool")
    return url


def start_gateway(rig: Rig) -> str:
    """Start the gateway beside the path, and return its URL."""
    (port,) = free_ports(1)
    rig.start("gateway", "gateway", "http", STRAIGHTLINE_GATEWAY_BIND=f"127.0.0.1:{port}")
    url = f"http://127.0.0.1:{port}"
    until(lambda: readiness_probes.answers_http(f"{url}/v2/health/ready"), "a gateway")
    return url


def start_celery(rig: Rig, backend: str, *pool: str) -> Celery:
    """Start a plain Celery worker with a no-op task, and return the application that sends to it."""
    rig.environment["PEER_BACKEND"] = backend
    rig.start("peer", "celery", "-A", "benchmarks.peers.celery_app:app", "worker", "-n", "peer@%h", *pool)
    app = make_app(rig.broker_url, backend)
    until(lambda: app.control.ping(timeout=0.5), "a plain Celery worker")
    return app


def until(ready: Callable[[], Any], name: str) -> None:
    """Poll until `ready` is true.

    Raises:
        StackError: it is not within `START_TIMEOUT_S`.
    """
    wait_until(lambda: bool(ready()), what=name, seconds=START_TIMEOUT_S, watched=())


class Tables:
    """Counts and empties tables of the rig's database."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url)

    def count(self, table: str) -> int:
        """Return the number of rows; 0 where the table does not exist yet."""
        with self._engine.connect() as connection:
            if connection.execute(text("select to_regclass(:name)"), {"name": table}).scalar() is None:
                return 0
            query = text(f"select count(*) from {table}")  # noqa: S608 - the name is ours
            return int(connection.execute(query).scalar_one())

    def clear(self, *tables: str) -> None:
        """Empty tables, so that counting their rows costs every round the same."""
        with self._engine.begin() as connection:
            for table in tables:
                connection.execute(text(f"truncate {table} cascade"))


def seconds(work: Callable[[], object], done: Callable[[], bool]) -> float:
    """Return the time from the start of `work` until `done`, in seconds."""
    start = time.perf_counter()
    work()
    while not done():
        time.sleep(0.05)
    return time.perf_counter() - start
