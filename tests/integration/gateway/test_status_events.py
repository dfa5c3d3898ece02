"""Status events reach gateway and command line: held and why, running and where."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from straightline.client import Client
from straightline.contracts import Outcome
from tests.integration.gateway.conftest import ROOT, Gateway, Starter, body
from tests.integration.gateway.test_requests import record
from tests.integration.workers.conftest import V2Server
from tests.integration.workers.worker_process import WorkerProcess

pytestmark = pytest.mark.integration

DATA = body([1.0, 2.0])
REQUEST = {"model": "double", "data": DATA}
PATIENCE = 30.0


@pytest.fixture
def gateway(
    user_urls: dict[str, str], migrated_database_url: str, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Gateway]:
    """A gateway that may do what its user of the broker may, as the other parts here."""
    roles = request.getfixturevalue("_roles")
    starter = Starter(tmp_path, user_urls["gateway"], migrated_database_url, roles)
    yield starter.start()
    starter.close()


@pytest.fixture
def v2_server() -> Iterator[V2Server]:
    server = V2Server()
    yield server
    server.close()


@pytest.fixture
def environ(tmp_path: Path, v2_server: V2Server) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "STRAIGHTLINE_MODELS_DIR": str(tmp_path / "models"),
        "STRAIGHTLINE_LOCAL_URL": v2_server.url,
    }


@pytest.fixture
def start_scheduler(
    gateway: Gateway, environ: dict[str, str], user_urls: dict[str, str]
) -> Iterator[Callable[[], None]]:
    del gateway  # it makes the directory of models
    started: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        environment = environ | {"STRAIGHTLINE_BROKER_URL": user_urls["scheduler"]}
        started.append(subprocess.Popen([sys.executable, "-m", "scheduler"], cwd=ROOT, env=environment))

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def start_pool(
    gateway: Gateway, environ: dict[str, str], user_urls: dict[str, str]
) -> Iterator[Callable[[], None]]:
    del gateway
    started: list[WorkerProcess] = []

    def start() -> None:
        environment = environ | {"STRAIGHTLINE_BROKER_URL": user_urls["pool-local"]}
        started.append(WorkerProcess(environment))

    yield start
    for worker in started:
        worker.close()


def until(gateway: Gateway, where: str, state: str) -> dict[str, Any]:
    """Ask until it is in that state."""
    end = time.monotonic() + PATIENCE
    while (told := gateway.ask("GET", where).json()).get("state") != state:
        assert time.monotonic() < end, told
    return dict(told)


def command(gateway: Gateway, *words: str) -> str:
    """Say what `straightline WORDS` prints."""
    environ = {
        "PATH": os.environ["PATH"],
        "STRAIGHTLINE_GATEWAY_URL": gateway.url,
        "STRAIGHTLINE_API_KEY": gateway.key,
    }
    done = subprocess.run(
        [sys.executable, "-m", "straightline", *words],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_a_request_is_held_with_its_reason_then_runs_and_then_does_not(
    gateway: Gateway,
    start_scheduler: Callable[[], None],
    start_pool: Callable[[], None],
    user_urls: dict[str, str],
    v2_server: V2Server,
) -> None:
    start_scheduler()
    start_scheduler()  # a standby, which says nothing
    taken = gateway.ask("POST", "/v1/requests", json=REQUEST).json()
    where = f"/v1/requests/{taken['id']}"
    held = until(gateway, where, "held")
    assert "local: no pool reports" in held["held_reason"]
    assert held["held_since"] >= taken["submitted_at"] - 1
    printed = command(gateway, "status", taken["id"])
    assert printed.startswith(f"{taken['id']}  held\n")
    assert "local: no pool reports" in printed
    with Client(user_urls["producer"]) as client:
        by_the_broker = client.submit("double", DATA)
    assert until(gateway, f"/v1/requests/{by_the_broker}", "held")["model"] == "double"

    v2_server.gate.clear()
    start_pool()
    running = until(gateway, where, "running")
    assert (running["backend"], running["attempts"], running["version"]) == ("local", 1, "1")
    assert running["worker"].startswith("local@")
    assert running["started_at"] >= running["placed_at"] >= held["held_since"]
    assert "held_reason" not in running
    assert f"worker         {running['worker']}\n" in command(gateway, "status", taken["id"])
    told = command(gateway, "why", taken["id"])
    assert "1. local: in progress" in told
    assert "3 of empirical" in told
    assert "running since" in told

    v2_server.gate.set()
    record(gateway, Outcome(request_id=taken["id"], state="succeeded", finished_at=time.time()))
    assert gateway.ask("GET", where).json()["state"] == "succeeded"  # from now on the ledger tells


def test_without_a_scheduler_a_submitted_request_is_accepted_and_the_answer_says_what_is_missing(
    gateway: Gateway,
) -> None:
    where = gateway.ask("POST", "/v1/requests", json=REQUEST).headers["Location"]
    told = gateway.ask("GET", where).json()
    assert (told["state"], "no scheduler leads now" in told["note"]) == ("accepted", True)
