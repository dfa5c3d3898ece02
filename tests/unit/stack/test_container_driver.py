"""Driver of the gpu-container pool: Docker if it can be used, otherwise child processes, with the reason."""

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from script.docker_engine import container_driver, model_image
from script.docker_engine.container_driver import provide_driver
from script.docker_engine.engine import Driver, choose_driver
from script.support.errors import StackError

BUNDLE = Path("digits") / "1"
SCREEN = Console(quiet=True)


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Images built by an engine that answers."""
    built: list[str] = []
    monkeypatch.setattr(container_driver, "choose_driver", lambda _: Driver("docker", "it answers"))
    monkeypatch.setattr(model_image, "build_image", lambda bundle, tag, environ: built.append(tag))
    return built


@pytest.fixture
def cannot_build(builds: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*_: Any) -> None:
        raise StackError("no base image\nand a long log")

    monkeypatch.setattr(model_image, "build_image", build)


def test_the_environment_selects_the_driver() -> None:
    assert choose_driver({"STRAIGHTLINE_CONTAINER_DRIVER": "process"}).name == "process"
    assert choose_driver({"STRAIGHTLINE_CONTAINER_DRIVER": "docker"}).name == "docker"


def test_without_an_engine_child_processes_are_used_and_the_reason_given() -> None:
    driver = choose_driver({"DOCKER_HOST": "unix:///nowhere/docker.sock"})
    assert driver.name == "process"
    assert "no Docker engine answers" in driver.why


def test_the_image_is_built_on_an_engine_that_answers(builds: list[str]) -> None:
    assert provide_driver(BUNDLE, SCREEN, {}).name == "docker"
    assert builds == ["straightline/digits:1"]


def test_a_given_image_is_not_built(builds: list[str]) -> None:
    assert provide_driver(BUNDLE, SCREEN, {"STRAIGHTLINE_CONTAINER_IMAGE": "mine/{model}"}).name == "docker"
    assert builds == []


@pytest.mark.usefixtures("cannot_build")
def test_a_failed_build_falls_back_with_a_reason_of_one_line() -> None:
    driver = provide_driver(BUNDLE, SCREEN, {})
    assert driver.name == "process"
    assert "no base image" in driver.why
    assert "\n" not in driver.why


@pytest.mark.usefixtures("cannot_build")
def test_a_docker_driver_set_by_the_environment_never_falls_back() -> None:
    with pytest.raises(StackError, match="no base image"):
        provide_driver(BUNDLE, SCREEN, {"STRAIGHTLINE_CONTAINER_DRIVER": "docker"})
