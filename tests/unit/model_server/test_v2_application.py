"""The V2 server reports the cause of an error by its status, and survives any fault of a model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from model_server.app import ERROR_HEADER, build, create
from model_server.models.bundle import read_bundles
from model_server.models.engine import load_engine
from model_server.models.registry import Registry
from straightline.errors import ConfigurationError
from tests.unit.model_server.tomls import PYTHON

Write = Callable[..., None]
ASK = {"inputs": [{"name": "x", "shape": [2], "datatype": "FP64", "data": [1.0, 2.0]}]}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def bundle(name: str, body: str, version: str = "1") -> None:
        directory = tmp_path / name / version
        directory.mkdir(parents=True)
        (directory / "model.toml").write_text(PYTHON.format(name=name, version=version))
        (directory / "code.py").write_text(f"import numpy as np\ndef run(inputs):\n    {body}\n")

    return bundle


def serve(models: Path, max_body: int = 1 << 20) -> FlaskClient:
    return build(
        Registry([load_engine(each) for each in read_bundles(models)]), max_body=max_body
    ).test_client()


def ask(client: FlaskClient, name: str, body: Any = ASK) -> Any:
    return client.post(f"/v2/models/{name}/infer", json=body)


def test_a_response_has_name_version_and_request_id(tmp_path: Path, write: Write) -> None:
    write("double", "return {'y': inputs['x'] * 2}")
    answer = ask(serve(tmp_path), "double", {**ASK, "id": "7"})
    assert answer.status_code == 200
    assert answer.json == {
        "model_name": "double",
        "model_version": "1",
        "id": "7",
        "outputs": [{"name": "y", "shape": [2], "datatype": "FP64", "data": [2.0, 4.0]}],
    }


def test_without_a_version_the_newest_one_answers(tmp_path: Path, write: Write) -> None:
    for version in ("9", "10"):
        write("double", f"return {{'y': inputs['x'] * {version}}}", version)
    client = serve(tmp_path)
    assert ask(client, "double").json["model_version"] == "10"
    pinned: Any = client.post("/v2/models/double/versions/9/infer", json=ASK).json
    assert pinned["model_version"] == "9"
    assert pinned["outputs"][0]["data"] == [9.0, 18.0]
    metadata: Any = client.get("/v2/models/double").json
    assert metadata["versions"] == ["9", "10"]


@pytest.mark.parametrize(
    "body",
    [
        "raise ValueError('no')",
        "raise SystemExit(1)",
        "raise KeyboardInterrupt",
        "return run(inputs)",
        "return {}",
        "return None",
        "return {'y': np.array([[1.0]])}",
        "return {'y': np.array(['a'])}",
    ],
)
def test_any_fault_of_a_model_is_422_and_the_server_continues(
    tmp_path: Path, write: Write, body: str
) -> None:
    write("broken", body)
    write("double", "return {'y': inputs['x'] * 2}")
    client = serve(tmp_path)
    answer = ask(client, "broken")
    assert (answer.status_code, answer.headers[ERROR_HEADER]) == (422, "model_error")
    assert set(answer.json) == {"error"}
    assert ask(client, "double").status_code == 200


def test_out_of_memory_is_507_and_retryable(tmp_path: Path, write: Write) -> None:
    write("hungry", "raise MemoryError")
    answer = ask(serve(tmp_path), "hungry")
    assert (answer.status_code, answer.headers[ERROR_HEADER]) == (507, "out_of_memory")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"inputs": []}',
        b"[" * 100_000,
        b'{"inputs": [{"name": "z", "shape": [1], "datatype": "FP64", "data": [1.0]}]}',
        b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1.0]}]}',
        b'{"inputs": [{"name": "x", "shape": [2], "datatype": "FP64", "data": [1.0]}]}',
        b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP64","data":[1.0]}],"outputs":[{"name":"q"}]}',
    ],
)
def test_a_request_that_does_not_fit_is_400(tmp_path: Path, write: Write, body: bytes) -> None:
    write("double", "return {'y': inputs['x'] * 2}")
    answer = serve(tmp_path).post("/v2/models/double/infer", data=body)
    assert (answer.status_code, answer.headers[ERROR_HEADER]) == (400, "invalid_input")
    assert answer.json is not None
    assert answer.json["error"]


def test_unknown_models_routes_and_large_bodies_have_their_own_errors(tmp_path: Path, write: Write) -> None:
    write("double", "return {'y': inputs['x'] * 2}")
    client = serve(tmp_path, max_body=200)
    told = {
        "unknown_model": ask(client, "nobody"),
        "not_found": client.get("/v2/nowhere"),
        "too_large": ask(client, "double", {**ASK, "id": "x" * 300}),
    }
    assert {word: answer.status_code for word, answer in told.items()} == {
        "unknown_model": 404,
        "not_found": 404,
        "too_large": 413,
    }
    for word, answer in told.items():
        assert answer.headers[ERROR_HEADER] == word
        assert set(answer.json) == {"error"}
    assert client.get("/v2/models/double/infer").status_code == 405


def test_health_and_metadata_are_served(tmp_path: Path, write: Write) -> None:
    write("double", "return {'y': inputs['x'] * 2}")
    client = serve(tmp_path)
    for path in ("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/double/ready"):
        assert client.get(path).status_code == 200
    metadata: Any = client.get("/v2/models/double/versions/1").json
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP64", "shape": [-1]}]
    assert client.get("/v2/models/nobody/ready").status_code == 404


def test_a_broken_model_stops_the_start_and_is_named(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("double", "return {'y': inputs['x'] * 2}\nraise SystemExit(3)")
    monkeypatch.setenv("STRAIGHTLINE_MODELS_DIR", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"double/1 cannot be loaded: SystemExit"):
        create()


def test_bundles_with_equal_module_names_import_their_own(tmp_path: Path, write: Write) -> None:
    for name, factor in (("two", 2), ("three", 3)):
        write(name, "from . import factor; return {'y': inputs['x'] * factor.VALUE}")
        (tmp_path / name / "1" / "factor.py").write_text(f"VALUE = {factor}\n")
    client = serve(tmp_path)
    assert ask(client, "two").json["outputs"][0]["data"] == [2.0, 4.0]
    assert ask(client, "three").json["outputs"][0]["data"] == [3.0, 6.0]
