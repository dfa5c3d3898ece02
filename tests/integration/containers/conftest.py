"""A real engine and a real image for the tests of the gpu-container backend."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Never, Protocol

import docker
import pytest

from script.docker_engine.docker_engine import engine
from script.docker_engine.model_image import build_image
from script.support.errors import StackError
from tests.integration.containers.bundles import BROKEN, SLOW, write_probe
from workers.backends.gpu_container import GpuContainerBackend, create

ROOT = Path(__file__).resolve().parents[3]
MakeBackend = Callable[..., GpuContainerBackend]
FIRST_TIME = pytest.mark.timeout(900)
"""The first of the tests may install an engine, make the base image and build the models' images."""


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[Mapping[str, str]]:
    """The environment that leads to a running engine: one that answers already, or a private one."""
    with ExitStack() as stack:
        try:
            added = stack.enter_context(engine())
        except StackError as error:
            _skip(error)
        yield {**os.environ, **added}


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits model, and some that do what a model should not."""
    models = tmp_path_factory.mktemp("models")
    subprocess.run(
        [sys.executable, "-m", "examples.digits.make_model", "--out", str(models)],
        check=True,
        timeout=120,
        cwd=ROOT,
    )
    write_probe(models)
    write_probe(models, name="broken", code=BROKEN)
    write_probe(models, name="slow", code=SLOW)
    return models


@pytest.fixture(scope="session")
def images(docker_engine: Mapping[str, str], models_dir: Path) -> str:
    """Template of the names of the models' images."""
    try:
        for name in ("digits", "probe", "broken", "slow"):
            build_image(models_dir / name / "1", f"straightline-test/{name}:1", docker_engine)
    except StackError as error:
        _skip(error)
    return "straightline-test/{model}:{version}"


@pytest.fixture
def environ(request: pytest.FixtureRequest, models_dir: Path, driver: str, tmp_path: Path) -> dict[str, str]:
    """The settings of a worker with that driver."""
    common = {
        "STRAIGHTLINE_MODELS_DIR": str(models_dir),
        "STRAIGHTLINE_CONTAINER_DRIVER": driver,
        "STRAIGHTLINE_CONTAINER_MEMORY": str(256 * 1024**2),
        "STRAIGHTLINE_RUN": "tests",
    }
    if driver == "process":
        return {**os.environ, **common, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    engine_environ: Mapping[str, str] = request.getfixturevalue("docker_engine")
    return {
        **engine_environ,
        **common,
        "STRAIGHTLINE_CONTAINER_IMAGE": request.getfixturevalue("images"),
        "PYTHONPATH": str(ROOT),
    }


@pytest.fixture(params=["process", pytest.param("docker", marks=[pytest.mark.docker, FIRST_TIME])])
def driver(request: pytest.FixtureRequest) -> str:
    """Each behaviour holds for both drivers."""
    return str(request.param)


def _skip(error: StackError) -> Never:
    """Skip for want of an engine, but not where one is expected: there it is a fault."""
    if os.environ.get("STRAIGHTLINE_TEST_DOCKER") == "required":
        raise error
    pytest.skip(f"no Docker engine: {error}")


class Inspector(Protocol):
    """Looks past the backend at what really runs, and kills it."""

    def servers(self) -> list[str]: ...
    def kill(self, server: str) -> None: ...


class ProcessInspector:
    """Finds the arbiters of model servers below this process: guardians' children."""

    def servers(self) -> list[str]:
        ours = {str(os.getpid())}
        guardians = {
            pid for pid, parent, line in _processes() if parent in ours and "process_supervisor.py" in line
        }
        return [pid for pid, parent, _ in _processes() if parent in guardians]

    def kill(self, server: str) -> None:
        os.killpg(int(server), signal.SIGKILL)
        deadline = time.monotonic() + 10
        # All of them: the arbiter is gone before its workers are, which hold the connections.
        while _alive(server):
            assert time.monotonic() < deadline, "it survived SIGKILL"
            time.sleep(0.01)


class DockerInspector:
    """Finds the containers of this process's workers."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._client = docker.from_env(environment=dict(environ))

    def servers(self) -> list[str]:
        mine: dict[str, str | list[str] | bool] = {"label": f"straightline.owner.pid={os.getpid()}"}
        # Sparse: asked about one by one, a container that is removed just then is an error.
        return [str(one.id) for one in self._client.containers.list(all=True, filters=mine, sparse=True)]

    def kill(self, server: str) -> None:
        container = self._client.containers.get(server)
        container.kill()
        container.wait(timeout=10)

    def close(self) -> None:
        self._client.close()


@pytest.fixture
def inspector(driver: str, environ: dict[str, str]) -> Iterator[Inspector]:
    """The truth about what runs."""
    if driver == "process":
        yield ProcessInspector()
        return
    found = DockerInspector(environ)
    yield found
    found.close()


def _processes() -> list[tuple[str, str, str]]:
    """Pid, parent and command line of every process that is not a zombie."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            fields = (place / "stat").read_text().rpartition(")")[2].split()
            line = (place / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        if fields[0] not in "ZX":
            found.append((place.name, fields[1], line))
    return found


def _alive(group: str) -> bool:
    """Whether a process of that group may still hold a socket: a dead one does while it has threads."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            state, _, its_group = (place / "stat").read_text().rpartition(")")[2].split()[:3]
            threads = sum(1 for _ in (place / "task").iterdir())
        except OSError:
            continue
        if its_group == group and (state not in "ZX" or threads > 1):
            return True
    return False


@pytest.fixture
def make_backend(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeBackend]:
    """Makes backends with some settings of their own, and closes them."""
    monkeypatch.chdir(ROOT)
    made: list[GpuContainerBackend] = []

    def make(**settings: object) -> GpuContainerBackend:
        named = {f"STRAIGHTLINE_{name.upper()}": str(value) for name, value in settings.items()}
        made.append(create({**environ, **named}))
        return made[-1]

    yield make
    for backend in made:
        backend.close()
