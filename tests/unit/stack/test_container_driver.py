"""The driver of the gpu-container pool: real containers where there can be any, else it says so."""

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
    """An engine that answers and builds; the names of the images it built."""
    built: list[str] = []
    monkeypatch.setattr(container_driver, "choose_driver", lambda _: Driver("docker", "it answers"))
    monkeypatch.setattr(model_image, "build_image", lambda bundle, tag, environ: built.append(tag))
    return built


@pytest.fixture
def cannot_build(builds: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*_: Any) -> None:
        raise StackError("no base image\nand a long log")

    monkeypatch.setattr(model_image, "build_image", build)


def test_what_the_environment_says_is_taken() -> None:
    assert choose_driver({"STRAIGHTLINE_CONTAINER_DRIVER": "process"}).name == "process"
    assert choose_driver({"STRAIGHTLINE_CONTAINER_DRIVER": "docker"}).name == "docker"


def test_without_an_engine_it_is_the_child_process_and_says_so() -> None:
    driver = choose_driver({"DOCKER_HOST": "unix:///nowhere/docker.sock"})
    assert driver.name == "process"
    assert "no Docker engine answers" in driver.why


def test_an_engine_is_given_the_image(builds: list[str]) -> None:
    assert provide_driver(BUNDLE, SCREEN, {}).name == "docker"
    assert builds == ["straightline/digits:1"]


def test_an_image_of_the_users_is_not_built(builds: list[str]) -> None:
    assert provide_driver(BUNDLE, SCREEN, {"STRAIGHTLINE_CONTAINER_IMAGE": "mine/{model}"}).name == "docker"
    assert builds == []


@pytest.mark.usefixtures("cannot_build")
def test_an_engine_without_an_image_falls_back_in_one_line() -> None:
    driver = provide_driver(BUNDLE, SCREEN, {})
    assert driver.name == "process"
    assert "no base image" in driver.why
    assert "\n" not in driver.why


@pytest.mark.usefixtures("cannot_build")
def test_docker_by_the_environment_never_falls_back() -> None:
    with pytest.raises(StackError, match="no base image"):
        provide_driver(BUNDLE, SCREEN, {"STRAIGHTLINE_CONTAINER_DRIVER": "docker"})
