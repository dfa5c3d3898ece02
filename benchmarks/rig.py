"""What the benchmarks measure on: private services, the real processes, and plain Celery beside them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from celery import Celery
from sqlalchemy import create_engine, text

from benchmarks.peer import make_app
from script.stack.processes import processes, readiness_probes
from script.stack.processes.readiness import wait_until
from script.stack.processes.run import Run
from script.stack.services.ports import free_ports
from script.stack.services.services import start_broker, start_database

ROOT: Final = Path(__file__).resolve().parent.parent
PATIENCE: Final = 60.0

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


@dataclass
class Rig:
    """Private services and what was started on them."""

    run: Run
    broker_url: str
    database_url: str
    environment: dict[str, str]

    def start(self, name: str, *arguments: str, **extra: str) -> processes.Process:
        """Start `python -m ARGUMENTS` with the rig's environment; the rig stops it."""
        process = processes.start(
            name,
            (sys.executable, "-m", *arguments),
            log=self.run.log(name),
            cwd=ROOT,
            environment=self.environment | extra,
        )
        self.run.add(process)
        return process

    def call(self, *arguments: str) -> None:
        """Run `python -m ARGUMENTS` to its end."""
        subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env=self.environment,
            check=True,
            capture_output=True,
        )

    def count(self, table: str) -> int:
        """Return how many rows a table has; 0 where it does not exist yet."""
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

    def __post_init__(self) -> None:
        self._engine = create_engine(self.database_url)


@contextmanager
def rig(work: float = 0.0) -> Iterator[Rig]:
    """Start a private broker and database with topology and tables; stop all at the end.

    Args:
        work: seconds of a processor that the model takes for each row; 0 for the no-op model.
    """
    run = Run.create(ROOT / ".straightline", stays=False)
    try:
        broker_url, database_url = start_broker(run).url, start_database(run).url
        bundle = run.directory / "models" / "noop" / "1"
        bundle.mkdir(parents=True)
        (bundle / "model.toml").write_text(MODEL)
        (bundle / "noop.py").write_text(f"WORK = {work!r}\n{CODE}")
        environment = dict(os.environ) | {
            "PYTHONPATH": str(ROOT),
            processes.RUN_VARIABLE: run.name,
            "STRAIGHTLINE_BROKER_URL": broker_url,
            "STRAIGHTLINE_DATABASE_URL": database_url,
            "STRAIGHTLINE_MODELS_DIR": str(run.directory / "models"),
        }
        made = Rig(run, broker_url, database_url, environment)
        made.call("broker_config")
        made.call("alembic", "-c", "migrations/alembic.ini", "upgrade", "head")
        yield made
    finally:
        run.stop()


def start_path(made: Rig, *, slots: int, threads: int = 8) -> None:
    """Start scheduler, recorder, reconciler, local server and pool, and wait until the pool is healthy."""
    (port,) = free_ports(1)
    made.environment["STRAIGHTLINE_LOCAL_URL"] = f"http://127.0.0.1:{port}"
    server = ("gunicorn", "-c", "python:model_server.gunicorn_conf", "model_server.app:create()")
    bind = f"127.0.0.1:{port}"
    made.start("server", *server, STRAIGHTLINE_SERVE_BIND=bind, STRAIGHTLINE_SERVE_THREADS=str(threads))
    made.start("scheduler", "scheduler", STRAIGHTLINE_F="1000000")
    made.start("recorder", "outcomes", "record")
    made.start("reconciler", "outcomes", "reconcile")
    pool = ("celery", "-A", "workers", "worker", "-Q", "straightline.local", "-n", "local@%h")
    made.start("pool", *pool, "-P", "threads", "-c", str(threads), STRAIGHTLINE_SLOTS=str(slots))
    with readiness_probes.broker_signs(made.broker_url) as broker:
        until(lambda: broker.healthy("local"), "a healthy pool")


def start_peer(made: Rig, backend: str, *pool: str) -> Celery:
    """Start a plain Celery worker with a no-op task, and return the application that sends to it."""
    made.environment["PEER_BACKEND"] = backend
    made.start("peer", "celery", "-A", "benchmarks.peer:app", "worker", "-n", "peer@%h", *pool)
    app = make_app(made.broker_url, backend)
    until(lambda: app.control.ping(timeout=0.5), "a plain Celery worker")
    return app


def until(what: Callable[[], Any], name: str) -> None:
    """Poll until `what` is true."""
    wait_until(lambda: bool(what()), what=name, seconds=PATIENCE, watched=())


def seconds(work: Callable[[], object], done: Callable[[], bool]) -> float:
    """Return how long it takes from the begin of `work` until `done`."""
    start = time.perf_counter()
    work()
    while not done():
        time.sleep(0.05)
    return time.perf_counter() - start
