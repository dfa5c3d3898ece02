"""The Docker engine stops; an image is missing; a container is killed, has no memory, is never ready."""

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
from tests.faults.harness import mind
from tests.faults.harness.load import Mix
from tests.faults.harness.oracle import Allowance
from tests.faults.harness.row import Row
from tests.faults.harness.scene import ROOT
from tests.integration.containers.conftest import docker_engine  # noqa: F401 - a fixture

pytestmark = [pytest.mark.faults, pytest.mark.docker, pytest.mark.timeout(900)]

IMAGE = "straightline-faults/{model}:{version}"
POOL = "pool-gpu-container"
ELSEWHERE = Mix(rate=10, pinned=0.3, large=0.15, backends=("serverless", "local"))
"""Large requests go to containers by the second rule; none insists on them."""


class OwnEngine:
    """A Docker engine that a test may stop and start, with the model's image."""

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
    """An engine of the module's own, with an image of the model."""
    base(ROOT, docker_engine)  # whose file in the cache the other one reads
    place = tmp_path_factory.mktemp("engine")
    try:
        engine = OwnEngine(place)
    except StackError as error:
        pytest.skip(f"no engine of its own: {error}")
    bundle = mind.write_bundle(tmp_path_factory.mktemp("models"), Path("/nowhere/executions"))
    build_image(bundle, IMAGE.format(model=mind.NAME, version="1"), engine.environ)
    yield engine
    engine.close()


def use(row: Row, engine: OwnEngine, **settings: str) -> None:
    """Let the pool run its models in containers."""
    row.scene.crew.restart(
        POOL,
        None,
        DOCKER_HOST=engine.environ["DOCKER_HOST"],
        STRAIGHTLINE_CONTAINER_DRIVER="docker",
        STRAIGHTLINE_CONTAINER_IMAGE=settings.pop("STRAIGHTLINE_CONTAINER_IMAGE", IMAGE),
        STRAIGHTLINE_ENGINE_TIMEOUT="3",
        **settings,
    )
    row.scene.wait_ready()


def nothing_is_left(row: Row, engine: OwnEngine) -> None:
    """Once the pool is stopped no container runs; what ended with the engine, the next pool removes."""
    row.scene.crew.stop(POOL)
    row.wait_for(lambda: not engine.containers(), "a container still runs")
    if engine.containers(ended=True):
        use(row, engine)
        row.wait_for(lambda: not engine.containers(ended=True), "an ended container is left", 60)


def test_24_docker_engine_restarted__requests_are_placed_elsewhere(row: Row, engine: OwnEngine) -> None:
    use(row, engine)
    with row.load(ELSEWHERE) as load:
        row.wait_for(lambda: bool(engine.containers()), "no container was started", 60)
        engine.stop()
        load.run_for(5)
        engine.start()
        row.fault_over()
        load.run_for(3)
        judged = row.judge(bound=60, allowed=Allowance(surplus=40), counted=False)
    assert judged.states().keys() == {"succeeded"}
    nothing_is_left(row, engine)


def test_24_container_killed_repeatedly__requests_are_still_answered(row: Row, engine: OwnEngine) -> None:
    use(row, engine)
    with row.load(ELSEWHERE) as load:
        for _ in range(3):
            row.wait_for(lambda: bool(engine.containers()), "no container was started", 60)
            for container in engine.containers():
                container.kill()
            load.run_for(1)
        row.fault_over()
        load.run_for(3)
        judged = row.judge(bound=60, allowed=Allowance(surplus=40), counted=False)
    assert judged.states().keys() == {"succeeded"}
    nothing_is_left(row, engine)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"STRAIGHTLINE_CONTAINER_IMAGE": "straightline-faults/none:1"}, id="image-missing"),
        pytest.param({"STRAIGHTLINE_CONTAINER_MEMORY": str(16 * 1024 * 1024)}, id="out-of-memory"),
        pytest.param({"STRAIGHTLINE_CONTAINER_START": "0.2"}, id="never-ready"),
    ],
)
def test_24_container_cannot_run__attempts_fail_with_the_reason_and_are_placed_elsewhere(
    row: Row, engine: OwnEngine, settings: Mapping[str, str]
) -> None:
    use(row, engine, **settings)
    with row.load(ELSEWHERE) as load:
        load.run_for(8)
        row.fault_over()
        judged = row.judge(bound=60, allowed=Allowance(surplus=40), counted=False)
    assert judged.states().keys() == {"succeeded"}
    words = row.scene.records.ask(
        "select distinct error_class from attempts where backend = 'gpu-container' and not succeeded "
        "and finished_at > to_timestamp(%s)",
        row.began,
    )
    refused = row.scene.records.ask(
        "select count(*) from attempts where reason->'refused' ? 'gpu-container' "
        "and finished_at > to_timestamp(%s)",
        row.began,
    )
    assert words or refused[0][0], "no reason why containers were not used"
    nothing_is_left(row, engine)
