"""The Docker engine stops; an image is missing; a container is killed, out of memory or never ready."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import docker
import pytest

from script.docker_engine import dockerd
from script.docker_engine.docker_engine import base
from script.docker_engine.model_image import build_image
from script.support import processes
from script.support.errors import StackError
from tests.faults.harness import scripted_model
from tests.faults.harness.fault_case import FaultCase
from tests.faults.harness.fault_stack import ROOT
from tests.faults.harness.load import Mix
from tests.faults.harness.oracle import Allowance
from tests.integration.containers.conftest import docker_engine  # noqa: F401 - a fixture

pytestmark = [pytest.mark.faults, pytest.mark.docker, pytest.mark.timeout(900)]

IMAGE = "straightline-faults/{model}:{version}"
POOL = "pool-gpu-container"
OTHER_BACKENDS = Mix(rate=10, pinned=0.3, large=0.15, backends=("serverless", "local"))
"""Large requests go to containers by rule 2; none is pinned to them."""


class OwnEngine:
    """A private Docker engine that a test can stop and start."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._started = dockerd.start(home)

    @property
    def environ(self) -> dict[str, str]:
        return {**os.environ, "DOCKER_HOST": self._started.url}

    def stop(self) -> None:
        processes.stop([self._started.process])

    def start(self) -> None:
        dockerd.stop(self._started, self._home)
        self._started = dockerd.start(self._home)

    def containers(self, *, ended: bool = False) -> list[Any]:
        client = docker.from_env(environment=self.environ)
        try:
            return list(client.containers.list(all=ended, ignore_removed=True))
        finally:
            client.close()

    def close(self) -> None:
        dockerd.stop(self._started, self._home)


@pytest.fixture(scope="module")
def engine(
    docker_engine: Mapping[str, str],  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[OwnEngine]:
    """A private engine with an image of the model."""
    base(ROOT, docker_engine)  # writes the cache file that the private engine reads
    place = tmp_path_factory.mktemp("engine")
    try:
        engine = OwnEngine(place)
    except StackError as error:
        pytest.skip(f"no private engine: {error}")
    bundle = scripted_model.write_bundle(tmp_path_factory.mktemp("models"), Path("/nowhere/executions"))
    build_image(bundle, IMAGE.format(model=scripted_model.NAME, version="1"), engine.environ)
    yield engine
    engine.close()


def use(case: FaultCase, engine: OwnEngine, **settings: str) -> None:
    """Restart the gpu-container pool with the Docker driver on this engine."""
    case.stack.supervisor.restart(
        POOL,
        None,
        DOCKER_HOST=engine.environ["DOCKER_HOST"],
        STRAIGHTLINE_CONTAINER_DRIVER="docker",
        STRAIGHTLINE_CONTAINER_IMAGE=settings.pop("STRAIGHTLINE_CONTAINER_IMAGE", IMAGE),
        STRAIGHTLINE_ENGINE_TIMEOUT="3",
        **settings,
    )
    case.stack.wait_ready()


def assert_no_container_left(case: FaultCase, engine: OwnEngine) -> None:
    """Check that a stopped pool leaves no container; the next pool removes those ended with the engine."""
    case.stack.supervisor.stop(POOL)
    case.wait_for(lambda: not engine.containers(), "a container still runs")
    if engine.containers(ended=True):
        use(case, engine)
        case.wait_for(lambda: not engine.containers(ended=True), "an ended container is left", 60)


def test_24_docker_engine_restarted__requests_are_placed_elsewhere(
    case: FaultCase, engine: OwnEngine
) -> None:
    use(case, engine)
    with case.load(OTHER_BACKENDS) as load:
        case.wait_for(lambda: bool(engine.containers()), "no container was started", 60)
        engine.stop()
        load.run_for(5)
        engine.start()
        case.fault_over()
        load.run_for(3)
        results = case.check(bound=60, allowed=Allowance(surplus=40), counted=False)
    assert results.states().keys() == {"succeeded"}
    assert_no_container_left(case, engine)


def test_24_container_killed_repeatedly__requests_are_still_answered(
    case: FaultCase, engine: OwnEngine
) -> None:
    use(case, engine)
    with case.load(OTHER_BACKENDS) as load:
        for _ in range(3):
            case.wait_for(lambda: bool(engine.containers()), "no container was started", 60)
            for container in engine.containers():
                container.kill()
            load.run_for(1)
        case.fault_over()
        load.run_for(3)
        results = case.check(bound=60, allowed=Allowance(surplus=40), counted=False)
    assert results.states().keys() == {"succeeded"}
    assert_no_container_left(case, engine)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"STRAIGHTLINE_CONTAINER_IMAGE": "straightline-faults/none:1"}, id="image-missing"),
        pytest.param({"STRAIGHTLINE_CONTAINER_MEMORY": str(16 * 1024 * 1024)}, id="out-of-memory"),
        pytest.param({"STRAIGHTLINE_CONTAINER_START": "0.2"}, id="never-ready"),
    ],
)
def test_24_container_cannot_run__attempts_fail_with_the_reason_and_are_placed_elsewhere(
    case: FaultCase, engine: OwnEngine, settings: Mapping[str, str]
) -> None:
    use(case, engine, **settings)
    with case.load(OTHER_BACKENDS) as load:
        load.run_for(8)
        case.fault_over()
        results = case.check(bound=60, allowed=Allowance(surplus=40), counted=False)
    assert results.states().keys() == {"succeeded"}
    classes = case.stack.database.ask(
        "select distinct error_class from attempts where backend = 'gpu-container' and not succeeded "
        "and finished_at > to_timestamp(%s)",
        case.began,
    )
    refused = case.stack.database.ask(
        "select count(*) from attempts where reason->'refused' ? 'gpu-container' "
        "and finished_at > to_timestamp(%s)",
        case.began,
    )
    assert classes or refused[0][0], "no reason why containers were not used"
    assert_no_container_left(case, engine)
