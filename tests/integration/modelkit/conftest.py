"""The digits model, and function hosts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.digits.make_model import main as train
from tests.integration.modelkit.processes import FunctionHost, HostMaker


@pytest.fixture(scope="session")
def digits_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model directory with the trained digits model."""
    models = tmp_path_factory.mktemp("models")
    assert train(["--out", str(models)]) == 0
    return models


@pytest.fixture
def make_host(tmp_path: Path) -> Iterator[HostMaker]:
    """Start a function host: `make_host(idle="0.5", ...)`, or with `packages` of its own."""
    hosts: list[FunctionHost] = []

    def make(packages: Path = tmp_path, **settings: str) -> FunctionHost:
        host = FunctionHost(packages, settings)
        hosts.append(host)
        host.wait_until_ready()
        return host

    yield make
    for host in hosts:
        host.stop()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionHost]:
    """Return a function host that the tests of a module share."""
    shared = FunctionHost(tmp_path_factory.mktemp("packages"), {"function_concurrency": "2"})
    shared.wait_until_ready()
    yield shared
    shared.stop()
