"""A bundle gives the same correct answers as a server and as a function."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from examples.digits import evaluate, make_model
from examples.digits.data import held_out
from modelkit.package.function import package_function
from modelkit.package.server import package_server
from straightline.errors import ConfigurationError
from tests.integration.modelkit.processes import ROOT, HostMaker, ModelServer, until

pytestmark = pytest.mark.integration

FAULTY = """
import sys
def run(inputs):
    fault = int(inputs["x"][0])
    if fault == 1: raise ValueError("of the model")
    if fault == 2: sys.exit(1)
    if fault == 3: raise MemoryError
    if fault == 4: return run(inputs)
    if fault == 5: raise KeyboardInterrupt
    return {"y": inputs["x"]}
"""
FAULTY_TOML = """
name = "faulty.model"
version = "1"
flavour = "python"
entry = "model:run"
inputs = [{name = "x", datatype = "INT32", shape = [-1]}]
outputs = [{name = "y", datatype = "INT32", shape = [-1]}]
"""


def images(count: int) -> dict[str, Any]:
    pixels, _ = held_out()
    chosen = np.resize(pixels, (count, 64))
    return {
        "inputs": [
            {"name": "images", "shape": [count, 64], "datatype": "FP32", "data": chosen.ravel().tolist()}
        ]
    }


def fault(number: int) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": [1], "datatype": "INT32", "data": [number]}]}


def accuracy(answer: dict[str, Any]) -> float:
    outputs = {output["name"]: output for output in answer["outputs"]}
    count = len(outputs["label"]["data"])
    probabilities = np.array(outputs["probabilities"]["data"]).reshape(count, 10)
    assert outputs["label"]["shape"] == [count]
    assert outputs["probabilities"]["shape"] == [count, 10]
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (probabilities.argmax(axis=1) == outputs["label"]["data"]).all()
    return float((np.array(outputs["label"]["data"]) == np.resize(held_out()[1], count)).mean())


@pytest.fixture
def faulty_bundle(tmp_path: Path) -> Path:
    directory = tmp_path / "models" / "faulty.model" / "1"
    directory.mkdir(parents=True)
    (directory / "model.toml").write_text(FAULTY_TOML)
    (directory / "model.py").write_text(FAULTY)
    return directory


MakeServer = Callable[..., ModelServer]


@pytest.fixture
def make_server() -> Iterator[MakeServer]:
    servers: list[ModelServer] = []

    def make(models: Path, **settings: str) -> ModelServer:
        server = ModelServer(models, settings)
        servers.append(server)
        server.wait_until_ready()
        return server

    yield make
    for server in servers:
        server.stop()


def test_server_and_function_give_the_same_correct_answer(
    digits_models: Path, make_server: MakeServer, make_host: HostMaker, tmp_path: Path
) -> None:
    package_function(digits_models / "digits" / "1", tmp_path)
    request = images(450)
    served = requests.post(
        f"{make_server(digits_models).url}/v2/models/digits/infer", json=request, timeout=30
    ).json()
    answer = make_host().client.invoke(
        FunctionName="straightline-digits", Payload=json.dumps(request).encode()
    )
    invoked = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer
    assert invoked == served
    assert (served["model_name"], served["model_version"]) == ("digits", "1")
    assert accuracy(served) >= 0.95


def test_thousands_of_images_fit_in_one_call(digits_models: Path, make_server: MakeServer) -> None:
    server = make_server(digits_models)
    answer = requests.post(f"{server.url}/v2/models/digits/infer", json=images(9000), timeout=60)
    assert accuracy(answer.json()) >= 0.95


def test_concurrent_callers_get_their_own_answers(digits_models: Path, make_server: MakeServer) -> None:
    url = f"{make_server(digits_models).url}/v2/models/digits/infer"

    def ask(number: int) -> bool:
        body = {**images(number % 7 + 1), "id": str(number)}
        answer = requests.post(url, json=body, timeout=30).json()
        return bool(answer["id"] == str(number) and answer["outputs"][0]["shape"] == [number % 7 + 1])

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(80)))


def test_model_faults_have_status_codes_and_the_server_continues(
    faulty_bundle: Path, make_server: MakeServer
) -> None:
    server = make_server(faulty_bundle.parents[1], threads="2")
    url = f"{server.url}/v2/models/faulty.model/infer"
    # More of each than there are threads, since none may be lost.
    statuses = [
        requests.post(url, json=fault(number), timeout=30).status_code for number in (0, 1, 2, 3, 4, 5) * 3
    ]
    assert statuses == [200, 422, 422, 507, 422, 422] * 3
    assert requests.post(url, data=b"{", timeout=30).status_code == 400


def test_model_faults_have_error_types_and_the_instance_stays_warm(
    faulty_bundle: Path, make_host: HostMaker, tmp_path: Path
) -> None:
    packages = tmp_path / "packages"
    package = package_function(faulty_bundle, packages)
    assert package.name == "straightline-faulty-model"
    host = make_host(packages)

    def ask(event: Any) -> str | None:
        answer = host.client.invoke(FunctionName=package.name, Payload=json.dumps(event).encode())
        payload = json.loads(answer["Payload"].read())
        return payload["errorType"] if "FunctionError" in answer else None

    assert ask(fault(0)) is None
    instances = host.instances()
    told = [ask(fault(number)) for number in (1, 2, 3, 4)]
    assert told == ["ModelError", "ModelError", "OutOfMemory", "ModelError"]
    misfits: list[Any] = [{}, [], 7, images(1)]
    assert [ask(event) for event in misfits] == ["InvalidInput"] * 4
    assert host.instances() == instances


def test_a_running_request_is_answered_during_shutdown(tmp_path: Path, make_server: MakeServer) -> None:
    directory = tmp_path / "slow" / "1"
    directory.mkdir(parents=True)
    mark = tmp_path / "started"
    (directory / "model.toml").write_text(FAULTY_TOML.replace("faulty.model", "slow"))
    (directory / "model.py").write_text(
        "import pathlib, time\ndef run(inputs):\n"
        f"    pathlib.Path({str(mark)!r}).touch()\n    time.sleep(1)\n    return {{'y': inputs['x']}}\n"
    )
    server = make_server(tmp_path)
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(requests.post, f"{server.url}/v2/models/slow/infer", json=fault(0), timeout=30)
        until(mark.exists, "the request runs")
        server.process.send_signal(signal.SIGTERM)
        assert answer.result().status_code == 200
    assert server.process.wait(30) == 0


def test_a_server_with_a_broken_bundle_does_not_start_and_names_it(faulty_bundle: Path) -> None:
    (faulty_bundle / "model.py").write_text("import nothing_of_this_name\n")
    server = ModelServer(faulty_bundle.parents[1], {})
    assert server.process.wait(30) != 0


def test_a_model_below_its_minimum_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(evaluate, "validate", lambda predict: {"accuracy": 0.5})
    assert make_model.main(["--out", str(tmp_path)]) == 1
    assert "nothing was written" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_bundles_and_packages_are_replaced_atomically(digits_models: Path, tmp_path: Path) -> None:
    for _ in range(2):
        written = package_server(digits_models / "digits" / "1", tmp_path)
        package = package_function(written, tmp_path / "functions")
    assert sorted(path.name for path in written.iterdir()) == ["model.onnx", "model.toml"]
    assert [path.name for path in (tmp_path / "functions").iterdir()] == [package.name]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["digits", "functions"]


def test_package_reports_an_invalid_bundle(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "modelkit", "package", "--bundle", str(tmp_path), "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "model.toml is invalid" in done.stderr
    assert "Traceback" not in done.stderr
    with pytest.raises(ConfigurationError):
        package_function(tmp_path, tmp_path)
