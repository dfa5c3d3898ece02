"""Containers spread over the devices that there are."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from straightline.contracts import ModelSpec
from straightline.contracts.model import Resources
from straightline.errors import ConfigurationError
from workers.containers.docker.docker_driver import DockerDriver
from workers.containers.docker.hardening import gpu_options
from workers.containers.docker.owner import Owner
from workers.containers.policy.gpus import GPUS_LABEL, choose_gpus, parse_ids
from workers.containers.settings import ContainerSettings
from workers.protocol.errors import BackendFault

NVIDIA: dict[str, dict[str, str]] = {"runc": {}, "nvidia": {}}


def test_the_least_loaded_device_comes_first_and_of_equals_the_first_listed() -> None:
    assert choose_gpus(("0", "1", "2"), [], 1) == ("0",)
    assert choose_gpus(("0", "1", "2"), ["0"], 1) == ("1",)
    assert choose_gpus(("0", "1", "2"), ["0", "1,2", "1"], 1) == ("0",)
    assert choose_gpus(("GPU-b", "GPU-a"), [], 1) == ("GPU-b",)


def test_several_devices_are_distinct() -> None:
    assert choose_gpus(("0", "1", "2"), ["1", "1", "2"], 2) == ("0", "2")


def test_a_model_without_a_gpu_request_shares_the_least_loaded_device() -> None:
    assert choose_gpus(("0", "1"), ["0"], 0) == ("1",)


def test_devices_that_are_not_listed_do_not_count() -> None:
    assert choose_gpus(("1",), ["0", "", "nonsense"], 1) == ("1",)


def test_a_request_for_too_many_devices_is_refused_with_both_remedies() -> None:
    with pytest.raises(BackendFault, match=r"`gpus` in its model\.toml, or list more") as caught:
        choose_gpus(("0",), [], 2)
    assert caught.value.error_class == "no_capacity"


def test_containers_started_one_after_another_spread_evenly() -> None:
    taken: list[str] = []
    for _ in range(6):
        taken += choose_gpus(("0", "1", "2"), taken, 1)
    assert sorted(taken) == ["0", "0", "1", "1", "2", "2"]


def test_the_list_accepts_commas_and_spaces() -> None:
    assert parse_ids("") == ()
    assert parse_ids("0, 1,GPU-7f  MIG-1") == ("0", "1", "GPU-7f", "MIG-1")
    with pytest.raises(ConfigurationError, match="twice"):
        parse_ids("0,0")


def test_the_engine_gets_exactly_the_chosen_devices() -> None:
    (request,) = gpu_options(NVIDIA, ("GPU-a", "GPU-b"))["device_requests"]
    assert request["DeviceIDs"] == ["GPU-a", "GPU-b"]
    assert request["Capabilities"] == [["gpu"]]
    assert request["Count"] == 0  # the engine refuses both at once
    assert request["Driver"] == ""


def test_without_a_list_the_engine_gives_all_of_them() -> None:
    (request,) = gpu_options(NVIDIA, ())["device_requests"]
    assert (request["Count"], request["DeviceIDs"]) == (-1, [])


def test_an_engine_without_nvidias_runtime_gets_no_device_request() -> None:
    assert gpu_options({"runc": {}}, ("0",)) == {}


class NvidiaEngine:
    """An engine with NVIDIA's runtime, as far as a start of a container sees it: the real one needs a GPU."""

    def __init__(self) -> None:
        self.made: list[dict[str, Any]] = []
        inspected = {"NetworkSettings": {"Ports": {"8080/tcp": [{"HostPort": "1"}]}}}
        self.client = SimpleNamespace(
            info=lambda: {"NCPU": 8, "Runtimes": NVIDIA},
            images=SimpleNamespace(get=lambda _: SimpleNamespace(id="sha256:1", attrs={})),
            containers=SimpleNamespace(create=self.create),
            api=SimpleNamespace(
                start=lambda _: None, inspect_container=lambda _: inspected, containers=self.containers
            ),
        )

    @contextmanager
    def session(self, *, quick: bool = False) -> Iterator[Any]:
        yield self.client

    def create(self, _image: str, **options: Any) -> Any:
        self.made.append(options)
        return SimpleNamespace(id=str(len(self.made)))

    def containers(self, *, all: bool, filters: dict[str, str]) -> list[dict[str, Any]]:  # noqa: A002
        assert all
        return [{"Labels": each["labels"]} for each in self.made if filters["label"] in each["labels"]]


def asked(options: dict[str, Any]) -> list[str]:
    (request,) = options["device_requests"]
    found: list[str] = request["DeviceIDs"]
    return found


def test_devices_are_chosen_by_the_labels_of_the_engines_containers() -> None:
    engine: Any = NvidiaEngine()
    settings = ContainerSettings(models_dir=Path(), container_gpus="GPU-a,GPU-b,GPU-c")
    here, there = (DockerDriver(engine, settings, Owner.this_process(name, "")) for name in ("here", "there"))
    one = ModelSpec(name="one", version="1", inputs=(), outputs=())
    two = ModelSpec(name="two", version="1", inputs=(), outputs=(), resources=Resources(gpus=2))
    here.start(one)
    there.start(two)
    here.start(one)
    assert [asked(options) for options in engine.made] == [["GPU-a"], ["GPU-b", "GPU-c"], ["GPU-a"]]
    assert [options["labels"][GPUS_LABEL] for options in engine.made] == ["GPU-a", "GPU-b,GPU-c", "GPU-a"]
