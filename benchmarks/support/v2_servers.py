"""The servers that `v2_server` and `cold_starts` measure, one process each, with the digits model."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import tritonclient.http as triton
import urllib3

from benchmarks.peers.mlserver import mlserver
from benchmarks.rig import Rig
from benchmarks.support.timing import Call
from model_server.models.bundle import read_bundle
from script.stack.processes import readiness_probes
from script.stack.services.ports import free_ports
from script.support import processes
from script.support.readiness import wait_until

START_TIMEOUT_S: Final = 60.0
IMAGE: Final = np.arange(64, dtype=np.float32).reshape(1, 64) % 17
BODY: Final = json.dumps(
    {"inputs": [{"name": "images", "shape": [1, 64], "datatype": "FP32", "data": IMAGE.ravel().tolist()}]}
).encode()
SETTINGS: Final[dict[str, Any]] = {
    "inputs": [{"name": "images", "datatype": "FP32", "shape": [-1, 64]}],
    "outputs": [
        {"name": "label", "datatype": "INT64", "shape": [-1]},
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]},
    ],
}
CODE: Final = """\
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class Model(MLModel):
    async def load(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession("{artifact}", options, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload):
        images = NumpyCodec.decode_input(payload.inputs[0])
        names = ["label", "probabilities"]
        answers = self.session.run(names, {{"images": images}})
        outputs = [NumpyCodec.encode_output(name, each) for name, each in zip(names, answers)]
        return InferenceResponse(model_name=self.name, outputs=outputs)
"""


@contextmanager
def our_server(rig: Rig, models: Path) -> Iterator[str]:
    """Serve the models with one process, and give its URL when it is ready."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    with running(
        rig,
        *("gunicorn", "-c", "python:model_server.gunicorn_conf", "model_server.app:create()"),
        ready=f"{url}/v2/health/ready",
        STRAIGHTLINE_MODELS_DIR=str(models),
        STRAIGHTLINE_SERVE_BIND=f"127.0.0.1:{port}",
    ):
        yield url


@contextmanager
def running(rig: Rig, *module: str, ready: str, **environ: str) -> Iterator[None]:
    """Run a Python module with its arguments from when the URL `ready` answers 200 until the block ends."""
    process = rig.start(module[0], *module, **environ)
    try:
        wait_until(
            lambda: readiness_probes.answers_http(ready),
            what=module[0],
            seconds=START_TIMEOUT_S,
            watched=(process,),
        )
        yield
    finally:
        processes.stop([process])


@contextmanager
def their_server(folder: Path, models: Path) -> Iterator[str]:
    """Serve the digits model of `models` with MLServer, in a fresh directory below `folder`."""
    code = CODE.format(artifact=read_bundle(models / "digits" / "1").artifact)
    with (
        tempfile.TemporaryDirectory(dir=folder) as fresh,
        mlserver(Path(fresh), name="digits", code=code, settings=SETTINGS) as url,
    ):
        yield url


class Served(msgspec.Struct, frozen=True):
    """The digits model on a server, and a V2 request with one image.

    Attributes:
        url: of the model's infer endpoint.
        body: the request.
        headers: its headers.
        call: sends the request once, over a kept connection.
    """

    url: str
    body: bytes
    headers: dict[str, str]
    call: Call


def served(server: str, body: bytes, headers: dict[str, str]) -> Served:
    """Return the model on a server, with a call of it."""
    pool = urllib3.PoolManager()
    url = f"{server}/v2/models/digits/infer"

    def call() -> None:
        answer = pool.request("POST", url, body=body, headers=headers, retries=False)
        assert answer.status == 200, answer.data

    return Served(url, body, headers, call)


def in_json(server: str) -> Served:
    """Return the model on a server, called in JSON."""
    return served(server, BODY, {"Content-Type": "application/json"})


def in_binary(server: str) -> Served:
    """Return the model on a server, called with binary tensors and answering in them."""
    tensor = triton.InferInput("images", [1, 64], "FP32")
    tensor.set_data_from_numpy(IMAGE)
    body, length = triton.InferenceServerClient.generate_request_body([tensor])
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(length)}
    return served(server, body, headers)
