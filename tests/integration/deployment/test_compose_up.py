"""The whole system in containers; needs an engine and the images of `standins/make`."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import docker.errors
import msgspec
import pytest
import requests

from straightline import names

pytestmark = [pytest.mark.docker, pytest.mark.integration, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[3]
PROJECT = "straightline-test"
IMAGES = (
    *(f"straightline-test/{name}" for name in ("broker", "database", "application", "digits-release")),
    "straightline/digits:1",
)
PATIENCE = 180.0
SECRET = "of-this-test-alone"


class Compose:
    """Runs the compose command with the files and variables of this project."""

    def __init__(self, engine: docker.DockerClient, command: list[str], socket: str) -> None:
        self.engine = engine
        self._command = [
            *command,
            *("--project-name", PROJECT, "-f", "docker-compose.yml"),
            *("-f", "tests/integration/deployment/compose.override.yml"),
        ]
        self._environment = os.environ | {
            "STRAIGHTLINE_BROKER_PASSWORD": SECRET,
            "STRAIGHTLINE_DATABASE_PASSWORD": SECRET,
            "STRAIGHTLINE_FLOWER_PASSWORD": SECRET,
            "AWS_ACCESS_KEY_ID": SECRET,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "STRAIGHTLINE_DOCKER_SOCKET": socket,
            "STRAIGHTLINE_DOCKER_GID": str(Path(socket).stat().st_gid),
            "STRAIGHTLINE_CONTAINER_NETWORK": f"{PROJECT}-models",
            "STRAIGHTLINE_RUN": PROJECT,
            # The engine chooses free ports.
            "STRAIGHTLINE_BROKER_PORT": "0",
            "STRAIGHTLINE_MANAGEMENT_PORT": "0",
            "STRAIGHTLINE_FLOWER_PORT": "0",
        }

    def __call__(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._command, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=400,
            cwd=ROOT,
            env=self._environment,
        )

    def states(self) -> dict[str, str]:
        """Return the health or exit status of each container by name."""
        found = {}
        for container in self.engine.containers.list(
            all=True, filters={"label": f"com.docker.compose.project={PROJECT}"}
        ):
            state = container.attrs["State"]
            health = state.get("Health", {}).get("Status")
            found[str(container.name)] = health or f"{state['Status']} {state['ExitCode']}"
        return found


def compose_command() -> list[str] | None:
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0:
        return ["docker", "compose"]
    return ["docker-compose"] if shutil.which("docker-compose") else None


@pytest.fixture(scope="module")
def compose() -> Iterator[Compose]:
    if shutil.which("docker") is None or (command := compose_command()) is None:
        pytest.skip("there is no docker with compose")
    try:
        engine = docker.from_env(timeout=30)
        engine.ping()
    except (docker.errors.DockerException, requests.RequestException):
        pytest.skip("no Docker engine answers")
    try:
        for image in IMAGES:
            engine.images.get(image)
    except docker.errors.ImageNotFound as error:
        pytest.skip(f"{error.explanation}: tests/integration/deployment/standins/make makes it")
    socket = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
    stack = Compose(engine, command, socket)
    try:
        done = stack("up", "--detach", "--no-build")
        assert done.returncode == 0, done.stderr
        yield stack
    finally:
        stack("down", "--volumes", "--timeout", "60")
        engine.close()


def submit(compose: Compose, *arguments: str) -> dict[str, object]:
    image = {"name": "images", "datatype": "FP32", "shape": [1, 64], "data": [0.0] * 64}
    done = compose(
        *("run", "--rm", "-T", "client", "submit", "--model", "digits", "--input", "-", "--wait", "--json"),
        *arguments,
        stdin=json.dumps({"inputs": [image]}),
    )
    assert done.returncode == 0, done.stderr
    outcome: dict[str, object] = msgspec.json.decode(done.stdout)
    return outcome


def test_all_services_become_healthy_or_succeed(compose: Compose) -> None:
    deadline = time.monotonic() + PATIENCE
    while not all(state in {"healthy", "exited 0"} for state in compose.states().values()):
        assert time.monotonic() < deadline, compose.states()
        time.sleep(1)
    assert len(compose.states()) == 15


@pytest.mark.parametrize("backend", names.BACKENDS)
def test_a_request_is_answered_by_each_backend(compose: Compose, backend: str) -> None:
    outcome = submit(compose, "--allow", backend)
    assert (outcome["state"], outcome["backend"]) == ("succeeded", backend)


def test_outcomes_are_in_the_ledger(compose: Compose) -> None:
    submit(compose)
    deadline = time.monotonic() + PATIENCE
    while (
        "digits"
        not in (done := compose("exec", "-T", "recorder", "python", "-m", "outcomes", "failures")).stdout
    ):
        assert time.monotonic() < deadline, done.stderr
        time.sleep(1)


def test_a_model_server_reaches_neither_broker_nor_database(compose: Compose) -> None:
    def address(service: str) -> str:
        (container,) = compose.engine.containers.list(
            filters={
                "label": [f"com.docker.compose.project={PROJECT}", f"com.docker.compose.service={service}"]
            }
        )
        networks = container.attrs["NetworkSettings"]["Networks"].values()
        return str(next(network["IPAddress"] for network in networks))

    program = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)"
    for service, port in (("database", "5432"), ("broker", "5672")):
        done = compose("exec", "-T", "local-server", "python", "-c", program, address(service), port)
        assert done.returncode != 0
        assert "Error" in done.stderr
    done = compose("exec", "-T", "recorder", "python", "-c", program, address("database"), "5432")
    assert done.returncode == 0, done.stderr


def test_the_standby_takes_over(compose: Compose) -> None:
    leader = next(
        container
        for container in compose.engine.containers.list(
            filters={"label": "com.docker.compose.service=scheduler"}
        )
        if b'"scheduler_leads"' in container.logs()
    )
    leader.kill()
    try:
        assert submit(compose)["state"] == "succeeded"
    finally:
        leader.start()
