"""What holds for model servers on demand, in containers as in child processes."""

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np
import pytest

from examples.digits.data import held_out
from straightline.contracts import ModelSpec, TensorSpec
from straightline.contracts.model import WarmPool
from straightline.models.catalogue import Catalogue
from straightline.models.registry_view import RegistryView
from tests.integration.containers.bundles import PROBE, named, said, tell
from tests.integration.containers.conftest import Inspector, MakeBackend
from workers.backends.gpu_container import GpuContainerBackend
from workers.protocol.errors import BackendFault, ModelError

pytestmark = pytest.mark.integration

DIGITS = ModelSpec(
    name="digits",
    version="1",
    inputs=(TensorSpec(name="images", datatype="FP32", shape=(-1, 64)),),
    outputs=(
        TensorSpec(name="label", datatype="INT64", shape=(-1,)),
        TensorSpec(name="probabilities", datatype="FP32", shape=(-1, 10)),
    ),
)
PATIENCE = 60.0
"""Seconds; a start takes one or two where the machine has nothing else to do."""


def until(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def test_the_first_call_is_cold_the_next_is_warm_and_both_are_right(make_backend: MakeBackend) -> None:
    images, labels = held_out()
    body = json.dumps(
        {
            "inputs": [
                {
                    "name": "images",
                    "datatype": "FP32",
                    "shape": list(images.shape),
                    "data": images.ravel().tolist(),
                }
            ]
        }
    ).encode()
    backend = make_backend()
    first = backend.infer(DIGITS, body, PATIENCE)
    second = backend.infer(DIGITS, body, PATIENCE)
    assert first.cold_start is not None
    assert 0 < first.cold_start <= first.service
    assert second.cold_start is None
    for answer in (first, second):
        outputs = {tensor["name"]: tensor["data"] for tensor in json.loads(answer.body)["outputs"]}
        assert np.mean(np.array(outputs["label"]) == labels) > 0.95


def test_concurrent_requests_share_one_start(make_backend: MakeBackend, inspector: Inspector) -> None:
    backend = make_backend()
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda _: backend.infer(PROBE, tell("hello"), PATIENCE), range(6)))
    assert len({said(answer.body) for answer in answers}) == 1
    assert len(inspector.servers()) == 1
    assert any(answer.cold_start is not None for answer in answers)


def test_a_killed_server_is_replaced_and_the_request_that_finds_it_dead_succeeds(
    make_backend: MakeBackend, inspector: Inspector
) -> None:
    backend = make_backend()
    backend.infer(PROBE, tell("hello"), PATIENCE)
    (before,) = inspector.servers()
    inspector.kill(before)
    answer = backend.infer(PROBE, tell("hello"), PATIENCE)
    assert answer.cold_start is not None
    (after,) = inspector.servers()
    assert after != before


def test_a_crash_during_a_call_is_a_fault_and_the_next_request_succeeds(
    make_backend: MakeBackend,
) -> None:
    backend = make_backend()
    backend.infer(PROBE, tell("hello"), PATIENCE)
    with pytest.raises(BackendFault) as caught:
        backend.infer(PROBE, tell("crash"), PATIENCE)
    assert caught.value.error_class == "crashed"
    assert backend.infer(PROBE, tell("hello"), PATIENCE).body


def test_a_models_error_is_not_a_fault(make_backend: MakeBackend) -> None:
    backend = make_backend()
    with pytest.raises(ModelError, match="told to fail") as caught:
        backend.infer(PROBE, tell("fail"), PATIENCE)
    assert caught.value.cold_start is not None


def test_a_hanging_model_ends_at_its_timeout(make_backend: MakeBackend) -> None:
    backend = make_backend()
    backend.infer(PROBE, tell("hello"), PATIENCE)
    began = time.monotonic()
    with pytest.raises(BackendFault) as caught:
        backend.infer(PROBE, tell("hang"), 1.0)
    assert caught.value.error_class == "timed_out"
    assert time.monotonic() - began < 10


def test_a_server_that_exits_during_its_start_is_explained_and_removed(
    make_backend: MakeBackend, inspector: Inspector
) -> None:
    with pytest.raises(BackendFault, match="this bundle is broken") as caught:
        make_backend().infer(named("broken"), tell("hello"), PATIENCE)
    assert caught.value.error_class == "crashed"
    assert "exit code 3" in str(caught.value)
    assert caught.value.cold_start is not None
    assert inspector.servers() == []


def test_a_server_that_is_not_ready_in_time_is_removed(
    make_backend: MakeBackend, inspector: Inspector
) -> None:
    with pytest.raises(BackendFault, match="STRAIGHTLINE_CONTAINER_START") as caught:
        make_backend(container_start=1.0).infer(named("slow"), tell("hello"), PATIENCE)
    assert caught.value.error_class == "cold_start_timed_out"
    assert inspector.servers() == []


def test_a_request_that_times_out_leaves_the_start_to_later_ones(make_backend: MakeBackend) -> None:
    backend = make_backend()
    with pytest.raises(BackendFault) as caught:
        backend.infer(PROBE, tell("hello"), 0.05)
    assert caught.value.error_class == "cold_start_timed_out"
    assert backend.infer(PROBE, tell("hello"), PATIENCE).body


def test_a_missing_model_is_named(make_backend: MakeBackend) -> None:
    with pytest.raises(BackendFault, match="absent") as caught:
        make_backend().infer(named("absent"), tell("hello"), PATIENCE)
    assert caught.value.error_class == "not_deployed"


def test_an_idle_server_is_removed(make_backend: MakeBackend, inspector: Inspector) -> None:
    backend = make_backend(container_idle=0.5)
    backend.infer(PROBE, tell("hello"), PATIENCE)
    until(lambda: inspector.servers() == [], "the idle server is gone")
    assert backend.infer(PROBE, tell("hello"), PATIENCE).cold_start is not None


def test_a_prewarmed_model_is_warm_before_the_first_request_and_stays(
    make_backend: MakeBackend, inspector: Inspector
) -> None:
    backend = make_backend(container_idle=0.5)
    ready = msgspec.structs.replace(PROBE, warm=WarmPool(minimum=2, maximum=2))
    backend.update_deployments(RegistryView(Catalogue({"probe": {"1": ready}})))
    assert backend.health().ok  # as the first heartbeat asks, with which the sweeps begin
    until(
        lambda: [each.warm is not None for each in backend._pool._slots_of(PROBE)] == [True, True],
        "two",
        PATIENCE,
    )
    first = backend.infer(ready, tell("hello"), PATIENCE)
    assert first.cold_start is None
    assert len(inspector.servers()) == 2
    (killed, _) = inspector.servers()
    inspector.kill(killed)
    until(lambda: killed not in inspector.servers() and len(inspector.servers()) == 2, "another", PATIENCE)
    backend.update_deployments(RegistryView(Catalogue({})))
    until(lambda: inspector.servers() == [], "nothing is kept any more")


def test_a_full_pool_evicts_the_longest_unused_server(
    make_backend: MakeBackend, inspector: Inspector
) -> None:
    backend = make_backend(container_max=1)
    backend.infer(PROBE, tell("hello"), PATIENCE)
    (before,) = inspector.servers()
    zeros = {"name": "images", "datatype": "FP32", "shape": [1, 64], "data": [0] * 64}
    backend.infer(DIGITS, json.dumps({"inputs": [zeros]}).encode(), PATIENCE)
    (after,) = inspector.servers()
    assert after != before


def test_a_pool_whose_servers_are_all_in_use_has_no_capacity(make_backend: MakeBackend) -> None:
    backend = make_backend(container_max=1)
    backend.infer(PROBE, tell("hello"), PATIENCE)
    with ThreadPoolExecutor(1) as threads:
        hanging = threads.submit(backend.infer, PROBE, tell("hang"), 4.0)
        until(lambda: backend._pool.users(PROBE) == 1, "the server is in use")
        with pytest.raises(BackendFault, match="STRAIGHTLINE_CONTAINER_MAX") as caught:
            backend.infer(DIGITS, b"{}", 0.3)
        assert caught.value.error_class == "no_capacity"
        assert hanging.exception() is not None


def test_closing_leaves_nothing_even_while_a_server_starts(
    make_backend: MakeBackend, inspector: Inspector
) -> None:
    backend = make_backend()
    backend.infer(PROBE, tell("hello"), PATIENCE)
    starting = threading.Thread(target=_ask_in_vain, args=(backend, named("slow")))
    starting.start()
    until(lambda: backend._pool.size() == 2, "the second one starts")
    backend.close()
    starting.join(10)
    assert not starting.is_alive()
    assert inspector.servers() == []


def test_health_is_ok_and_names_the_process_driver(make_backend: MakeBackend, driver: str) -> None:
    backend = make_backend()
    health = backend.health()
    assert health.ok
    assert ("child processes" in (health.reason or "")) == (driver == "process")
    assert {"digits", "probe"} <= set(backend.models() or ())


def _ask_in_vain(backend: GpuContainerBackend, model: ModelSpec) -> None:
    with pytest.raises(BackendFault):
        backend.infer(model, tell("hello"), PATIENCE)
