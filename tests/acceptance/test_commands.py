"""The two commands of a new user, and the stack that stays: by command line, SDK, HTTP and JSON alone."""

import json
import os
import shlex
import signal
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pytest
import requests
from sqlalchemy.engine import make_url

from script.support import processes
from straightline import names
from straightline.amqp import Outgoing, Publisher
from straightline.client import Client
from tests.acceptance import canaries

pytestmark = [pytest.mark.integration, pytest.mark.acceptance, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
POOLS = {"local", "serverless", "gpu-container"}


def _variables(file: Path) -> dict[str, str]:
    pairs = [shlex.split(line)[1] for line in file.read_text().splitlines() if line.startswith("export ")]
    return dict(pair.split("=", 1) for pair in pairs)


def _running(state: Path) -> list[int]:
    """Processes that belong to a run below `state`."""
    runs = [entry.name for entry in (state / "runs").iterdir()] if (state / "runs").is_dir() else []
    marks = {f"{processes.RUN_VARIABLE}={run}".encode() for run in runs}
    return [pid for pid in processes._pids() if marks.intersection(processes._environment(pid))]


def _wait(condition: Any, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.1)


def test_the_demo_answers_every_request_once_by_each_of_the_five_rules(command: Any, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    done = command("demo", "--requests", "200", "--seed", "3", "--json", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(file.read_text())
    assert report["accepted"] == report["outcomes"] == 200
    assert report["lost"] == report["duplicates"] == 0
    assert report["by_state"]["succeeded"] == 200
    assert set(report["by_rule"]) == {"1", "2", "3", "4", "5"}
    assert min(report["by_rule"].values()) > 0
    assert set(report["by_backend"]) == POOLS
    assert sum(backend["placed"] for backend in report["by_backend"].values()) >= 200
    for backend in report["by_backend"].values():
        assert 0 < backend["p50_ms"] <= backend["p95_ms"]
    assert report["accuracy"] >= 0.95
    assert report["seconds"] > 0
    assert max(len(line) for line in done.stdout.splitlines()) <= 100
    assert "driver " in done.stdout


def test_an_interrupted_demo_stops_all_it_started(environment: dict[str, str], state: Path) -> None:
    demo = subprocess.Popen(
        [str(ROOT / "script" / "demo")],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait(lambda: len(_running(state)) > 6, 120)
        started = [pid for pid in _running(state) if pid != demo.pid]
        marks = {pid: processes._started(pid) for pid in started}
    finally:
        demo.send_signal(signal.SIGTERM)
        status = demo.wait(120)
    assert status == 130
    assert not [pid for pid, mark in marks.items() if mark and processes._started(pid) == mark]
    assert list((state / "runs").iterdir()) == []


def test_a_stack_stays_up_answers_and_leaves_nothing_behind(command: Any, state: Path) -> None:
    up = command("up")
    assert up.returncode == 0, up.stdout + up.stderr
    variables = _variables(state / "env")
    assert (state / "env").stat().st_mode & 0o077 == 0
    assert {"STRAIGHTLINE_BROKER_URL", "STRAIGHTLINE_DATABASE_URL", "STRAIGHTLINE_FLOWER_URL"} <= set(
        variables
    )

    with Client(variables["STRAIGHTLINE_BROKER_URL"]) as client:
        blank = {"name": "images", "shape": [1, 64], "datatype": "FP32", "data": [0] * 64}
        identity = client.submit("digits", {"inputs": [blank]})
        assert client.result(identity, timeout=60).state == "succeeded"
    _wait(lambda: _state_in_ledger(variables["STRAIGHTLINE_DATABASE_URL"], identity) == "succeeded", 30)
    _flower_shows_pools_and_tasks(variables["STRAIGHTLINE_FLOWER_URL"])
    _secrets_and_payloads_are_told_nowhere(state, variables)

    again = command("up", **variables)
    assert again.returncode == 0
    assert "is already running" in again.stdout
    assert "Ignoring the variables sourced from" in again.stdout

    started = {pid: processes._started(pid) for pid in _running(state)}
    assert len(started) > 8
    down = command("down")
    assert down.returncode == 0, down.stdout + down.stderr
    assert not [pid for pid, mark in started.items() if mark and processes._started(pid) == mark]
    assert not (state / "env").exists()
    assert list((state / "runs").iterdir()) == []
    assert command("down").returncode == 0


def test_given_services_are_used_and_left_running(
    command: Any, broker_url: str, migrated_database_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "report.json"
    done = command(
        "demo",
        "--requests",
        "30",
        "--json",
        str(file),
        STRAIGHTLINE_BROKER_URL=broker_url,
        STRAIGHTLINE_DATABASE_URL=migrated_database_url,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(file.read_text())["outcomes"] == 30
    assert _count(migrated_database_url) == 30
    assert "Using RabbitMQ and Postgres from the environment" in done.stdout


def test_help_installs_nothing(command: Any, state: Path) -> None:
    for name in ("demo", "up", "down", "lint", "bench"):
        asked = command(name, "--help")
        assert asked.returncode == 0
        assert asked.stdout.startswith(f"script/{name}")
    assert not state.exists() or not list(state.iterdir())


def test_a_component_that_cannot_start_is_reported_with_its_log(command: Any, state: Path) -> None:
    up = command("up", STRAIGHTLINE_PREFETCH="many")
    assert up.returncode == 1
    assert "scheduler exited during start-up" in up.stderr
    assert "STRAIGHTLINE_" in up.stderr
    assert (state / "failed" / "scheduler.log").is_file()
    assert not (state / "env").exists()
    assert list((state / "runs").iterdir()) == []


def _secrets_and_payloads_are_told_nowhere(state: Path, variables: dict[str, str]) -> None:
    image = {"name": "images", "shape": [1, 64], "datatype": "FP32", "data": [0] * 64}
    bodies: list[dict[str, Any]] = [
        {"inputs": [image], "id": canaries.CANARY, "parameters": {"note": canaries.CANARY}},
        {"inputs": [{**image, "data": [canaries.CANARY] * 64}]},  # no model can read this
        {"inputs": [{**image, "name": canaries.CANARY}]},
        {"inputs": canaries.CANARY},
    ]
    url = variables["STRAIGHTLINE_BROKER_URL"]
    with Client(url) as client, Publisher(url, name="raw") as raw:
        for backend in names.BACKENDS:
            sent = [client.submit("digits", body, allow=[backend]) for body in bodies[:3]]
            states = [client.result(identity, timeout=60).state for identity in sent]
            assert states == ["succeeded", "rejected", "rejected"]
        for body in (b"[" * 1000 + canaries.CANARY.encode(), json.dumps(bodies[3]).encode()):
            raw.publish(Outgoing(names.REQUESTS, "interactive", body, type=canaries.CANARY)).result(20)
    pids = _running(state)
    held = canaries.held(pids)
    assert len(held) > 8, "each component has a password of its own"
    shared = [password for password, who in held.items() if len(who) > 3]
    assert len(shared) <= 1, "the database's alone"
    (logs,) = (state / "runs").glob("*/logs")
    secrets = [canaries.CANARY, *held, variables["STRAIGHTLINE_API_KEY"]]
    secrets.append(urlsplit(variables["STRAIGHTLINE_FLOWER_URL"]).password or "")
    flower = variables["STRAIGHTLINE_FLOWER_URL"]
    seen = " ".join(canaries.leaks(logs, pids, flower, ["straightline"]))
    assert all(place in seen for place in ("the log", "the arguments", "/api/tasks")), "it looks"
    assert list(canaries.leaks(logs, pids, flower, secrets)) == []


def _flower_shows_pools_and_tasks(url: str) -> None:
    parts = urlsplit(url)
    bare = f"http://127.0.0.1:{parts.port}"
    assert requests.get(f"{bare}/api/workers", timeout=10).status_code == 401
    login = (parts.username or "", parts.password or "")

    def workers() -> set[str]:
        answer = requests.get(f"{bare}/api/workers", params={"refresh": "1"}, auth=login, timeout=20)
        return {name.split("@")[0] for name in answer.json()}

    def tasks() -> list[dict[str, Any]]:
        answer = requests.get(f"{bare}/api/tasks", auth=login, timeout=20)
        return list(answer.json().values())

    _wait(lambda: workers() >= POOLS, 60)
    _wait(lambda: any(task["state"] == "SUCCESS" for task in tasks()), 60)
    shown = next(task for task in tasks() if task["state"] == "SUCCESS")
    assert shown["name"] == "straightline.predict"
    assert "digits" in shown["args"]
    assert "inputs" not in shown["args"]


def _state_in_ledger(url: str, identity: str) -> str | None:
    row = _query(url, "select state from outcomes where request_id = %s", (identity,))
    return None if row is None else str(row[0])


def _count(url: str) -> int:
    row = _query(url, "select count(*) from outcomes", ())
    return 0 if row is None else int(row[0])


def _query(url: str, statement: str, values: tuple[str, ...]) -> tuple[Any, ...] | None:
    parts = make_url(url)
    connection = psycopg2.connect(
        host=parts.host,
        port=parts.port,
        user=parts.username,
        password=parts.password,
        dbname=parts.database,
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchone()
    finally:
        connection.close()


def test_the_commands_run_from_any_directory() -> None:
    for name in ("demo", "up", "down", "test", "lint", "bench"):
        assert os.access(ROOT / "script" / name, os.X_OK)
