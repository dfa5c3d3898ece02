"""What was deployed is started and counted by its id: its name leads wherever the last build put it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import ImageNotFound

from straightline.contracts import ModelSpec
from workers.containers.docker.docker_driver import DockerDriver
from workers.containers.docker.owner import Owner
from workers.containers.settings import ContainerSettings
from workers.protocol.errors import BackendFault

MODEL = ModelSpec(name="Digits", version="1", inputs=(), outputs=())
OLD, NEW = "sha256:" + "0" * 64, "sha256:" + "1" * 64


class TwoBuilds:
    """An engine whose name for a version leads to the later one of two builds of it."""

    def __init__(self) -> None:
        self.tags: dict[str, list[str]] = {OLD: [], NEW: ["straightline/digits:1"]}
        self.made: list[str] = []
        inspected = {"NetworkSettings": {"Ports": {"8080/tcp": [{"HostPort": "1"}]}}}
        self.client = SimpleNamespace(
            info=lambda: {"NCPU": 8},
            images=SimpleNamespace(get=self.get),
            containers=SimpleNamespace(create=self.create),
            api=SimpleNamespace(
                start=lambda _: None,
                inspect_container=lambda _: inspected,
                images=lambda: [{"Id": image, "RepoTags": tags} for image, tags in self.tags.items()],
            ),
        )

    @contextmanager
    def session(self, *, quick: bool = False) -> Iterator[Any]:
        yield self.client

    def get(self, name: str) -> Any:
        for image, tags in self.tags.items():
            if name == image or name in tags:
                return SimpleNamespace(id=image, attrs={})
        raise ImageNotFound("none")

    def create(self, image: str, **_: Any) -> Any:
        self.made.append(image)
        return SimpleNamespace(id=str(len(self.made)))


def driver(engine: Any, digests: str = "") -> DockerDriver:
    return DockerDriver(
        engine,
        ContainerSettings(models_dir=Path(), container_digests=digests),
        Owner.this_process("here", ""),
    )


@pytest.fixture
def engine() -> Any:
    return TwoBuilds()


def test_the_deployed_image_is_started_while_its_version_is_rebuilt(engine: Any) -> None:
    here = driver(engine, "sha256:" + "f" * 64)
    here.update_images({("Digits", "1"): OLD})
    here.start(MODEL)
    assert engine.made == [OLD]
    assert here.models() == ["Digits"], "no name leads to it"
    here.update_images({("Digits", "1"): NEW})
    here.start(MODEL)
    assert engine.made == [OLD, NEW]


def test_a_version_that_was_never_deployed_is_started_by_its_name(engine: Any) -> None:
    here = driver(engine)
    assert here.models() == ["digits"]
    here.start(MODEL)
    assert engine.made == [NEW]


def test_a_missing_deployed_image_is_reported_with_how_to_copy_it(engine: Any) -> None:
    here = driver(engine)
    here.update_images({("Digits", "1"): "sha256:other"})
    assert here.models() == [], "the name leads to another image, which is not started"
    with pytest.raises(BackendFault, match=r"docker image save sha256:other \| docker --host HOST") as fault:
        here.start(MODEL)
    assert fault.value.error_class == "not_deployed"
    assert engine.made == []
