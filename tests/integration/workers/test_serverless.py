"""The serverless backend against the function host, which speaks Lambda's API and runs Lambda's runtime."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from straightline.contracts import ModelSpec, TensorSpec
from straightline.errors import ConfigurationError
from tests.integration.modelkit.processes import FunctionHost, until
from workers.backends import serverless
from workers.backends.serverless import LambdaBackend
from workers.protocol.errors import BackendFault, ModelError

pytestmark = pytest.mark.integration

MODEL = ModelSpec(
    name="a.model",
    version="1",
    inputs=(TensorSpec(name="x", datatype="FP32", shape=(-1,)),),
    outputs=(TensorSpec(name="y", datatype="FP32", shape=(-1,)),),
)
FUNCTION = "straightline-a-model"
ECHO = "def handler(event, context):\n    return {'model_name': 'm', 'outputs': [], 'id': event['id']}\n"
RAISE = "class {kind}(Exception): pass\ndef handler(event, context):\n    raise {kind}('x is below zero')\n"
EXIT = "import os\ndef handler(event, context):\n    os._exit(1)\n"
BLOCK = """
import pathlib, time
def handler(event, context):
    pathlib.Path(event["id"] + ".started").touch()
    while not pathlib.Path(event["id"]).exists():
        time.sleep(0.01)
    return {}
"""
LARGE = "def handler(event, context):\n    return 'x' * (7 * 1024 * 1024)\n"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionHost]:
    host = FunctionHost(
        tmp_path_factory.mktemp("functions"), {"function_concurrency": "1", "init_limit": "1.0"}
    )
    try:
        host.wait_until_ready()
        yield host
    finally:
        host.stop()


@pytest.fixture
def make_backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], LambdaBackend]]:
    made: list[LambdaBackend] = []

    def make(url: str) -> LambdaBackend:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        backend = serverless.create({})
        made.append(backend)
        return backend

    yield make
    for backend in made:
        backend.close()


@pytest.fixture
def backend(host: FunctionHost, make_backend: Callable[[str], LambdaBackend]) -> LambdaBackend:
    return make_backend(host.url)


def fault(backend: LambdaBackend, timeout: float = 20.0) -> BackendFault:
    with pytest.raises(BackendFault) as caught:
        backend.infer(MODEL, b'{"id": "1"}', timeout)
    return caught.value


def test_the_first_response_has_a_cold_start_and_the_next_has_none(
    host: FunctionHost, backend: LambdaBackend
) -> None:
    host.deploy(FUNCTION, ECHO)
    cold, warm = (backend.infer(MODEL, b'{"id": "1"}', 20.0) for _ in range(2))
    assert json.loads(cold.body) == {"model_name": "m", "outputs": [], "id": "1"}
    assert cold.cold_start is not None
    assert 0 < cold.cold_start <= cold.service
    assert warm.cold_start is None
    assert backend.health().ok


@pytest.mark.parametrize("kind", ["InvalidInput", "ModelError", "RecursionError"])
def test_what_the_model_raises_is_final(host: FunctionHost, backend: LambdaBackend, kind: str) -> None:
    host.deploy(FUNCTION, RAISE.format(kind=kind))
    with pytest.raises(ModelError, match="x is below zero"):
        backend.infer(MODEL, b'{"id": "1"}', 20.0)


@pytest.mark.parametrize(
    ("code", "settings", "error_class"),
    [
        (EXIT, {}, "crashed"),
        ("import time\ndef handler(event, context):\n    time.sleep(60)\n", {"timeout": 1}, "timed_out"),
        ("import time\ntime.sleep(60)\n", {}, "cold_start_timed_out"),
        ("import nothing_like_it\n", {}, "cold_start_failed"),
        (RAISE.format(kind="OutOfMemory"), {}, "out_of_memory"),
        (LARGE, {}, "too_large"),
    ],
)
def test_a_failing_function_is_a_fault(
    host: FunctionHost, backend: LambdaBackend, code: str, settings: dict[str, float], error_class: str
) -> None:
    host.deploy(FUNCTION, code, **settings)
    assert fault(backend).error_class == error_class


def test_a_call_ends_at_its_timeout(host: FunctionHost, backend: LambdaBackend, tmp_path: Path) -> None:
    host.deploy(FUNCTION, BLOCK, timeout=60)
    with pytest.raises(BackendFault) as caught:
        backend.infer(MODEL, json.dumps({"id": str(tmp_path / "go")}).encode(), 0.5)
    assert caught.value.error_class == "timed_out"
    (tmp_path / "go").touch()


def test_calls_above_the_concurrency_limit_are_throttled(
    host: FunctionHost, backend: LambdaBackend, tmp_path: Path
) -> None:
    mark = tmp_path / "go"
    host.deploy(FUNCTION, BLOCK, timeout=60)
    body = json.dumps({"id": str(mark)}).encode()
    first = threading.Thread(target=backend.infer, args=(MODEL, body, 60.0))
    first.start()
    until((tmp_path / "go.started").exists, "the first runs")
    error = fault(backend)
    mark.touch()
    first.join()
    assert error.error_class == "throttled"


def test_a_missing_function_is_not_deployed(
    host: FunctionHost, make_backend: Callable[[str], LambdaBackend]
) -> None:
    backend = make_backend(host.url)
    with pytest.raises(BackendFault) as caught:
        backend.infer(ModelSpec(name="other", version="1", inputs=(), outputs=()), b"{}", 20.0)
    assert caught.value.error_class == "not_deployed"


def test_an_endpoint_without_a_listener_is_unreachable_and_unhealthy(
    make_backend: Callable[[str], LambdaBackend],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    backend = make_backend(f"http://127.0.0.1:{port}")
    assert fault(backend).error_class == "unreachable"
    health = backend.health()
    assert not health.ok
    assert health.reason


def test_an_environment_without_a_region_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(ConfigurationError, match="AWS_DEFAULT_REGION"):
        serverless.create({})
