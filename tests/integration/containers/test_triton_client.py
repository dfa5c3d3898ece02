"""Triton's own client, unchanged, against the model server as a process and in its container."""

import json
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from tests.integration.containers.bundles import PROBE, tell
from tests.integration.containers.conftest import MakeBackend
from tests.integration.containers.test_warm_servers import DIGITS

pytestmark = pytest.mark.integration

PATIENCE = 60.0


def client_of(backend: Any, model: Any) -> triton.InferenceServerClient:
    """Return a client of the server that the backend keeps warm for the model."""
    url = backend._pool._slots_of(model)[0].warm.server.url
    return triton.InferenceServerClient(url.removeprefix("http://"), network_timeout=PATIENCE)


def asked(name: str, datatype: str, array: Any, *, binary: bool) -> list[triton.InferInput]:
    tensor = triton.InferInput(name, list(array.shape), datatype)
    tensor.set_data_from_numpy(array, binary_data=binary)
    return [tensor]


def test_numbers_go_in_and_come_out_in_binary_as_in_json(make_backend: MakeBackend) -> None:
    backend = make_backend()
    zeros = {"name": "images", "datatype": "FP32", "shape": [1, 64], "data": [0] * 64}
    backend.infer(DIGITS, json.dumps({"inputs": [zeros]}).encode(), PATIENCE)
    client = client_of(backend, DIGITS)
    hold_metadata(client)
    images = np.random.default_rng(5).uniform(0, 16, (7, 64)).astype(np.float32)
    answers = []
    for into in (True, False):
        for out in (True, False):
            wanted = [
                triton.InferRequestedOutput(name, binary_data=out) for name in ("label", "probabilities")
            ]
            answer = client.infer("digits", asked("images", "FP32", images, binary=into), outputs=wanted)
            answers.append((answer.as_numpy("label").tolist(), answer.as_numpy("probabilities").tolist()))
    assert len(answers[0][0]) == 7
    # Its JSON is rounded nowhere: a float's shortest decimal brings back the same float.
    assert all(answer == answers[0] for answer in answers)
    everything = client.infer("digits", asked("images", "FP32", images, binary=True), model_version="1")
    assert everything.as_numpy("label").tolist() == answers[0][0]
    hold_errors(client, images)
    client.close()


def hold_metadata(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("digits")
    assert client.is_model_ready("digits", "1")
    assert not client.is_model_ready("digits", "2")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    metadata = client.get_model_metadata("digits", "1")
    assert metadata["versions"] == ["1"]
    assert metadata["inputs"] == [{"name": "images", "datatype": "FP32", "shape": [-1, 64]}]


def hold_errors(client: triton.InferenceServerClient, images: Any) -> None:
    """Errors arrive as its own exception, with our sentence."""
    for inputs, model, message in (
        (asked("images", "FP32", images[:, :3], binary=True), "digits", r"must be FP32 \[-1, 64\]"),
        (asked("pictures", "FP32", images, binary=True), "digits", "it takes"),
        (asked("images", "FP32", images, binary=True), "absent", "is not served here"),
    ):
        with pytest.raises(InferenceServerException, match=message):
            client.infer(model, inputs)


def test_texts_go_in_and_come_out_in_binary(make_backend: MakeBackend) -> None:
    backend = make_backend()
    backend.infer(PROBE, tell("hello"), PATIENCE)
    client = client_of(backend, PROBE)
    answer = client.infer("probe", asked("do", "BYTES", np.array(["hello"], dtype=np.object_), binary=True))
    assert int(json.loads(answer.as_numpy("said")[0])) > 0
    with pytest.raises(InferenceServerException, match="told to fail"):
        client.infer("probe", asked("do", "BYTES", np.array(["fail"], dtype=np.object_), binary=True))
    client.close()
