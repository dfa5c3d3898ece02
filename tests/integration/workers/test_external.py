"""The local pool calls external models on their own servers, and classifies their failures."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask import Flask, Response
from werkzeug.serving import make_server

from benchmarks.peers.mlserver import mlserver
from straightline.contracts import FailedAttempts, Heartbeat
from straightline.models.catalogue import Catalogue, read_catalogue
from tests.integration.modelkit.processes import ModelServer, until
from tests.integration.workers.conftest import MODEL
from workers.backends.local import LocalBackend
from workers.protocol.errors import BackendFault, ModelError
from workers.protocol.v2_http import V2Client

pytestmark = pytest.mark.integration

PATIENCE = 10.0
BODY = b'{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1.5, -2.0]}]}'
Deploy = Callable[..., Catalogue]


class Theirs:
    """A server that knows the model `theirs`, in the versions that it lists; it counts what it is asked."""

    def __init__(self, versions: list[str]) -> None:
        self.versions = versions
        self.ready = True
        self.asked: list[str] = []
        self.answer: Any = {
            "model_name": "theirs",
            "outputs": [{"name": "y", "shape": [1, 2], "datatype": "FP32", "data": [7.0, 7.0]}],
        }
        app = Flask(__name__)

        @app.get("/v2/models/theirs")
        def describe() -> Any:
            return {"name": "theirs", "versions": self.versions}

        @app.get("/v2/models/theirs/ready")
        @app.get("/v2/models/theirs/versions/<version>/ready")
        def ready(version: str = "") -> Response:
            return Response(status=200 if self.ready and self._has(version) else 503)

        @app.post("/v2/models/theirs/infer")
        @app.post("/v2/models/theirs/versions/<version>/infer")
        def infer(version: str = "") -> Any:
            self.asked.append(version)
            return self.answer if self._has(version) else Response('{"error": "no such version"}', 404)

        self._server = make_server("127.0.0.1", 0, app, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def _has(self, version: str) -> bool:
        return version in (self.versions or [""])

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def start_theirs() -> Iterator[Callable[..., Theirs]]:
    started: list[Theirs] = []

    def start(*versions: str) -> Theirs:
        started.append(Theirs(list(versions)))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture
def deploy(models_dir: Path) -> Deploy:
    """Deploy an external model beside `double`, which is our own server's."""

    def put(url: str, name: str = "theirs", version: str = "1") -> Catalogue:
        text = MODEL.replace('"double"', f'"{name}"', 1).replace('version = "1"', f'version = "{version}"')
        own = 'flavour = "python"\nentry = "double:predict"'
        bundle = models_dir / name / version
        bundle.mkdir(parents=True)
        external = f'flavour = "external"\nurl = "{url}"\nbackends = ["local"]'
        (bundle / "model.toml").write_text(text.replace(own, external))
        return read_catalogue(models_dir)

    return put


@pytest.fixture
def make_local(v2_server: Any) -> Iterator[Callable[[Catalogue], LocalBackend]]:
    made: list[LocalBackend] = []

    def make(catalogue: Catalogue) -> LocalBackend:
        made.append(LocalBackend(V2Client(v2_server.url), catalogue))
        return made[-1]

    yield make
    for backend in made:
        backend.close()


def ask(backend: LocalBackend, catalogue: Catalogue, name: str = "theirs", body: bytes = BODY) -> Any:
    model = catalogue.find(name)
    assert model is not None
    return msgspec.json.decode(backend.infer(model, body, PATIENCE).body)


def values(answer: Any) -> list[float]:
    return [float(value) for value in answer["outputs"][0]["data"]]


@pytest.mark.parametrize("lists", [(), ("1",), ("0", "1")])
def test_a_version_is_sent_if_the_server_lists_versions(
    start_theirs: Any, deploy: Deploy, make_local: Any, v2_server: Any, lists: tuple[str, ...]
) -> None:
    theirs = start_theirs(*lists)
    catalogue = deploy(theirs.url)
    backend = make_local(catalogue)
    assert values(ask(backend, catalogue)) == values(ask(backend, catalogue)) == [7.0, 7.0]
    assert theirs.asked == ["1" if lists else ""] * 2
    assert v2_server.calls == []


def test_a_server_without_the_version_is_not_called_and_is_described_again_after_a_change(
    start_theirs: Any, deploy: Deploy, make_local: Any
) -> None:
    theirs = start_theirs("2")
    catalogue = deploy(theirs.url)
    backend = make_local(catalogue)
    with pytest.raises(BackendFault, match=r"versions \['2'\], model.toml says '1'") as caught:
        ask(backend, catalogue)
    assert caught.value.error_class == "not_deployed"
    assert theirs.asked == []
    theirs.versions = ["1", "2"]
    ask(backend, catalogue)
    theirs.versions = []
    with pytest.raises(BackendFault, match=r"the external server of theirs 1: .*no such version"):
        ask(backend, catalogue)
    assert values(ask(backend, catalogue)) == [7.0, 7.0]


def test_a_request_names_no_server(
    start_theirs: Any, deploy: Deploy, make_local: Any, v2_server: Any
) -> None:
    theirs = start_theirs()
    catalogue = deploy(theirs.url)
    backend = make_local(catalogue)
    body = msgspec.json.decode(BODY) | {"url": theirs.url, "parameters": {"url": theirs.url}}
    body["inputs"][0]["data"] = [1.0, 2.0]
    assert values(ask(backend, catalogue, "double", msgspec.json.encode(body))) == [2.0, 4.0]
    assert (theirs.asked, v2_server.calls) == ([], [1])


def test_the_own_model_server_works_as_an_external_one(
    tmp_path: Path, deploy: Deploy, make_local: Any
) -> None:
    bundle = tmp_path / "served" / "theirs" / "3"
    bundle.mkdir(parents=True)
    text = MODEL.replace('"double"', '"theirs"', 1).replace('version = "1"', 'version = "3"')
    (bundle / "model.toml").write_text(text)
    (bundle / "double.py").write_text(
        "def predict(inputs):\n"
        "    if inputs['x'][0, 0] < 0:\n        raise ValueError('below zero')\n"
        "    return {'y': inputs['x'] * 2}\n"
    )
    server = ModelServer(tmp_path / "served", {})
    try:
        server.wait_until_ready()
        catalogue = deploy(server.url, version="3")
        backend = make_local(catalogue)
        assert values(ask(backend, catalogue)) == [3.0, -4.0]
        with pytest.raises(ModelError, match="below zero"):
            ask(backend, catalogue, body=BODY.replace(b"1.5", b"-1.5"))
        with pytest.raises(ModelError, match=r"must be FP32 \[-1, 2\]"):
            ask(backend, catalogue, body=BODY.replace(b"[1, 2]", b"[2, 1]"))
    finally:
        server.stop()
    with pytest.raises(BackendFault, match="external server of theirs 3: cannot connect") as caught:
        ask(backend, catalogue)
    assert caught.value.error_class == "unreachable"


def test_a_server_that_is_down_takes_only_its_own_models_with_it(
    start_theirs: Any, deploy: Deploy, make_local: Any, v2_server: Any
) -> None:
    theirs = start_theirs()
    backend = make_local(deploy(theirs.url))

    def settles(models: list[str], healthy: bool) -> Any:
        def there() -> Any:
            health = backend.health()
            return health if (backend.models(), health.ok) == (models, healthy) else None

        return until(there, f"the models are {models}")

    assert settles(["double", "theirs"], healthy=True).reason is None
    theirs.ready = False
    assert settles(["double"], healthy=True).reason == "theirs 1: not ready: HTTP 503"
    theirs.ready = True
    v2_server.close()
    assert settles(["theirs"], healthy=True).reason.startswith("the own server: ")
    theirs.ready = False
    settles([], healthy=False)


def test_without_external_models_only_the_own_server_decides(models_dir: Path, make_local: Any) -> None:
    backend = make_local(read_catalogue(models_dir))
    assert backend.health().ok
    assert backend.models() is None


def test_the_pool_executes_an_external_model_and_reports_when_it_cannot(
    bench: Any, start_worker: Any, start_theirs: Any, deploy: Deploy, v2_server: Any
) -> None:
    theirs = start_theirs()
    deploy(theirs.url)
    start_worker()

    def place() -> None:
        ticket = bench.ticket([1.0, 2.0])
        request = msgspec.json.decode(ticket.request) | {"model": "theirs"}
        bench.place(msgspec.structs.replace(ticket, request=msgspec.Raw(msgspec.json.encode(request))))

    def beats(models: list[str]) -> None:
        def reported() -> bool:
            heartbeat: Heartbeat = bench.heartbeat()
            return heartbeat.healthy and heartbeat.models == models

        bench.wait_for(f"a heartbeat with {models}", reported)

    beats(["double", "theirs"])
    place()
    (outcome,) = bench.outcomes(1)
    assert (outcome.state, outcome.backend) == ("succeeded", "local")
    assert values(msgspec.json.decode(outcome.result)) == [7.0, 7.0]
    assert v2_server.calls == []
    theirs.answer = Response("out of order", 500)
    place()
    (failed,) = msgspec.json.decode(bench.get(bench.attempts), type=FailedAttempts).failed
    assert failed.attempt.error_class == "crashed"
    theirs.ready = False
    beats(["double"])


@pytest.mark.skipif(
    "STRAIGHTLINE_TEST_MLSERVER" not in os.environ,
    reason="MLServer takes a minute and 320 MB to install: STRAIGHTLINE_TEST_MLSERVER=1 runs this",
)
@pytest.mark.timeout(600)
def test_mlserver_works_as_an_external_server(tmp_path: Path, deploy: Deploy, make_local: Any) -> None:
    code = (
        "from mlserver import MLModel\n"
        "from mlserver.codecs import NumpyCodec\n"
        "from mlserver.types import InferenceResponse\n\n\n"
        "class Model(MLModel):\n"
        "    async def predict(self, payload):\n"
        "        outputs = [NumpyCodec.encode_output('y', NumpyCodec.decode_input(payload.inputs[0]) * 2)]\n"
        "        return InferenceResponse(\n"
        "            model_name=self.name, model_version=self.version, outputs=outputs\n"
        "        )\n"
    )
    for number, settings in enumerate(({}, {"parameters": {"version": "v4"}})):
        folder = tmp_path / f"mlserver-{number}"
        folder.mkdir()
        name = f"theirs-{number}"
        with mlserver(folder, name=name, code=code, settings=settings) as url:
            catalogue = deploy(url, name=name, version="v4")
            backend = make_local(catalogue)
            assert values(ask(backend, catalogue, name)) == [3.0, -4.0]
            until(lambda: (backend.health(), name in (backend.models() or []))[1], "it is ready")  # noqa: B023
            with pytest.raises(ModelError):
                ask(backend, catalogue, name, b'{"inputs": [{"name": "x"}]}')
            with pytest.raises(BackendFault) as caught:
                ask(backend, catalogue, name, BODY.replace(b"[1, 2]", b"[3, 3]"))
            assert caught.value.error_class == "crashed"  # MLServer reports no details of its models' errors
        with pytest.raises(BackendFault) as caught:
            ask(backend, catalogue, name)
        assert caught.value.error_class == "unreachable"
