"""The engine's options for a container."""

from pathlib import Path

import msgspec
import pytest

from straightline.contracts.model import Resources
from straightline.errors import ConfigurationError
from straightline.settings import load
from workers.containers.docker.hardening import gpu_options, hardening_options, network_options
from workers.containers.settings import ContainerSettings

SETTINGS = ContainerSettings(models_dir=Path("models"))


def test_gpus_are_requested_if_the_engine_has_nvidias_runtime() -> None:
    (request,) = gpu_options({"runc": {}, "nvidia": {"path": "nvidia-container-runtime"}})["device_requests"]
    assert request["Count"] == -1
    assert request["Capabilities"] == [["gpu"]]


@pytest.mark.parametrize("runtimes", [{"runc": {}}, {}, None])
def test_no_gpu_is_requested_without_nvidias_runtime(runtimes: object) -> None:
    assert gpu_options(runtimes) == {}


def test_a_container_never_requests_more_processors_than_the_engine_has() -> None:
    assert hardening_options(SETTINGS, 1.0)["nano_cpus"] == 1_000_000_000
    assert hardening_options(SETTINGS, 64.0)["nano_cpus"] == 2_000_000_000


def test_a_models_resources_lower_the_limits_and_never_raise_them() -> None:
    little = hardening_options(SETTINGS, 64.0, Resources(cpus=0.5, memory=128))
    assert (little["nano_cpus"], little["mem_limit"]) == (500_000_000, 128 * 1024**2)
    assert little["memswap_limit"] == little["mem_limit"]
    much = hardening_options(SETTINGS, 64.0, Resources(cpus=32, memory=1024**2))
    assert (much["nano_cpus"], much["mem_limit"]) == (2_000_000_000, SETTINGS.container_memory)


def test_the_port_is_chosen_by_the_engine_and_published_on_loopback() -> None:
    assert network_options(SETTINGS) == {"ports": {"8080/tcp": ("127.0.0.1", None)}}


def test_in_a_network_of_the_engine_no_port_is_published() -> None:
    inside = msgspec.structs.replace(SETTINGS, container_network="straightline")
    assert network_options(inside) == {"network": "straightline"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONTAINER_USER", "0"),
        ("CONTAINER_USER", "root"),
        ("CONTAINER_USER", "0:0"),
        ("CONTAINER_DRIVER", "podman"),
        ("CONTAINER_MAX", "0"),
        ("CONTAINER_MEMORY", "1"),
        ("CONTAINER_IDLE", "-1"),
    ],
)
def test_a_setting_that_would_not_confine_is_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError):
        load(ContainerSettings, {"STRAIGHTLINE_MODELS_DIR": "models", f"STRAIGHTLINE_{name}": value})


def test_the_driver_is_docker_unless_another_is_named() -> None:
    assert load(ContainerSettings, {"STRAIGHTLINE_MODELS_DIR": "models"}).container_driver == "docker"
