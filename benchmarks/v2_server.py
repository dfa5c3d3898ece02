"""The model server's overhead over the model called in-process, beside MLServer's; cold starts of each form.

Run: python -m benchmarks.v2_server [--blocks B] [--calls N] [--starts N]

The digits model (ONNX), one image a call, one process for each server, MLServer without a second process for
its models, as it answers soonest. *Overhead*: in-process, ours, ours in binary tensors and MLServer's calls
alternate, each to a machine at rest; a ratio is of the p50s of one block, each less the model's own.
*Throughput*: so many clients keep each server busy in turn. *Cold start*: from the start of the process, the
invocation or the container until the first answer. MLServer's environment is made once, in a minute.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import numpy as np
import tritonclient.http as triton
import urllib3

from benchmarks.mlserver import environment, mlserver
from examples.digits.train import main as train
from modelkit.bundle import read_bundle
from modelkit.package.function import package_function
from modelkit.serve.engine import load_engine
from script.stack import signs
from script.stack.engine_home import engine
from script.stack.failure import StackError
from script.stack.model_image import build_image
from script.stack.ports import free_ports
from script.stack.readiness import wait_until
from straightline.catalogue import read_model
from workers.backends import gpu_container, serverless

ROOT: Final = Path(__file__).resolve().parent.parent
CLIENTS: Final = (1, 8, 32)
PAUSE: Final = 0.01
"""Seconds between calls to a machine at rest."""
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

Call = Callable[[], object]


@contextmanager
def our_server(models: Path) -> Iterator[str]:
    """Serve the models with one process, and give its URL when it is ready."""
    (port,) = free_ports(1)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "-c", "python:modelkit.serve.gunicorn_conf"),
            "modelkit.serve.app:create()",
        ],
        cwd=ROOT,
        env=os.environ
        | {"STRAIGHTLINE_MODELS_DIR": str(models), "STRAIGHTLINE_SERVE_BIND": f"127.0.0.1:{port}"},
    )
    try:
        url = f"http://127.0.0.1:{port}"
        until(f"{url}/v2/health/ready", "the model server")
        yield url
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def function_host(packages: Path) -> Iterator[str]:
    """Start a function host, and give its URL when it listens."""
    (port,) = free_ports(1)
    process = subprocess.Popen(
        [sys.executable, "-m", "modelkit.functions", "--packages", str(packages), "--port", str(port)],
        cwd=ROOT,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        until(f"{url}/2015-03-31/functions", "the function host")
        yield url
    finally:
        process.terminate()
        process.wait(30)


def until(url: str, what: str) -> None:
    """Wait until there is an answer."""
    wait_until(lambda: signs.answers_http(url), what=what, seconds=60, watched=())


def caller(url: str, body: bytes, headers: dict[str, str]) -> Call:
    """Return a call of the digits model there; many may call at once."""
    pool = urllib3.PoolManager(maxsize=max(CLIENTS), block=True)
    target = f"{url}/v2/models/digits/infer"

    def call() -> None:
        answer = pool.request("POST", target, body=body, headers=headers, retries=False)
        assert answer.status == 200, answer.data

    return call


def json_caller(url: str) -> Call:
    """Return a call whose tensors are JSON."""
    return caller(url, BODY, {"Content-Type": "application/json"})


def binary_caller(url: str) -> Call:
    """Return a call whose tensors are binary, both ways."""
    tensor = triton.InferInput("images", [1, 64], "FP32")
    tensor.set_data_from_numpy(IMAGE)
    body, length = triton.InferenceServerClient.generate_request_body([tensor])
    return caller(url, body, {"Inference-Header-Content-Length": str(length)})


def medians(calls: dict[str, Call], count: int) -> dict[str, float]:
    """Return the median of each in milliseconds, over calls that alternate."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(count):
        for name, call in calls.items():
            time.sleep(PAUSE)
            start = time.perf_counter()
            call()
            times[name].append((time.perf_counter() - start) * 1e3)
    return {name: statistics.median(each) for name, each in times.items()}


def rate(call: Call, clients: int, calls: int) -> float:
    """Return answers per second for so many clients at once."""
    each = max(1, calls // clients)
    with ThreadPoolExecutor(clients) as threads:
        start = time.perf_counter()
        for done in [threads.submit(lambda: [call() for _ in range(each)]) for _ in range(clients)]:
            done.result()
        return clients * each / (time.perf_counter() - start)


def compare(models: Path, folder: Path, blocks: int, calls: int) -> None:
    """Measure overhead and throughput of both servers, and print them."""
    bundle = read_bundle(models / "digits" / "1")
    engine_here = load_engine(bundle)
    code = CODE.format(artifact=bundle.artifact)
    with our_server(models) as ours, serve_theirs(folder, code) as theirs:
        every = {
            "in-process": lambda: engine_here.answer({"images": IMAGE}),
            "ours": json_caller(ours),
            "ours, binary": binary_caller(ours),
            "MLServer": json_caller(theirs),
        }
        medians(every, 20)  # all of them warm
        waits = [medians(every, calls) for _ in range(blocks)]
        served = {name: call for name, call in every.items() if name != "in-process"}
        rates = {
            clients: [
                {name: rate(call, clients, calls) for name, call in served.items()} for _ in range(blocks)
            ]
            for clients in CLIENTS
        }
    print(f"one call at a time, p50: in-process {middle(waits, 'in-process'):.3f} ms")
    over = [{name: wait[name] - wait["in-process"] for name in served} for wait in waits]
    show("  overhead", over, "ms")
    for clients, found in rates.items():
        show(f"{clients} at once", found, "answers/s")


def show(title: str, found: list[dict[str, float]], unit: str) -> None:
    """Print a figure of each server, and the ratios to MLServer block by block."""
    print(title + ": " + ", ".join(f"{name} {middle(found, name):.2f} {unit}" for name in found[0]))
    for name in found[0]:
        if name != "MLServer":
            ratios = [each[name] / each["MLServer"] for each in found]
            print(
                f"    {name} / MLServer: median {statistics.median(ratios):.2f} "
                f"(from {min(ratios):.2f} to {max(ratios):.2f})"
            )


def middle(found: list[dict[str, float]], name: str) -> float:
    """Return the median over the blocks."""
    return statistics.median(each[name] for each in found)


@contextmanager
def serve_theirs(folder: Path, code: str) -> Iterator[str]:
    """Serve the digits model with MLServer, in a fresh directory."""
    with (
        tempfile.TemporaryDirectory(dir=folder) as fresh,
        mlserver(Path(fresh), name="digits", code=code, settings=SETTINGS) as url,
    ):
        yield url


def seconds_to_answer(server: Any) -> float:
    """Return the seconds from a server's start until its first answer."""
    start = time.perf_counter()
    with server as url:
        json_caller(url)()
        return time.perf_counter() - start


def cold_starts(models: Path, folder: Path, starts: int) -> None:
    """Measure and print the cold start of each form."""
    code = CODE.format(artifact=read_bundle(models / "digits" / "1").artifact)
    print_starts("server", [seconds_to_answer(our_server(models)) for _ in range(starts)])
    print_starts("MLServer", [seconds_to_answer(serve_theirs(folder, code)) for _ in range(starts)])
    packages = folder / "functions"
    package_function(models / "digits" / "1", packages)
    print_starts("function", [function_start(models, packages) for _ in range(starts)])
    with ExitStack() as stack:
        try:
            environ = {**os.environ, **stack.enter_context(engine())}
        except StackError as error:
            print(f"cold start, container: no engine ({error})")
            return
        build_image(models / "digits" / "1", "straightline-benchmark/digits:1", environ)
        environ |= {
            "STRAIGHTLINE_MODELS_DIR": str(models),
            "STRAIGHTLINE_CONTAINER_DRIVER": "docker",
            "STRAIGHTLINE_CONTAINER_IMAGE": "straightline-benchmark/{model}:{version}",
        }
        print_starts("container", [first_answer(gpu_container, environ, models) for _ in range(starts)])


def function_start(models: Path, packages: Path) -> float:
    """Return the seconds of the first invocation on a fresh host."""
    with function_host(packages) as url:
        aws = {
            "AWS_ENDPOINT_URL_LAMBDA": url,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
        }
        with patch.dict(os.environ, aws):  # boto3 reads no other
            return first_answer(serverless, dict(os.environ), models)


def first_answer(module: Any, environ: dict[str, str], models: Path) -> float:
    """Return the seconds of the first call through a pool's backend."""
    backend = module.create(environ)
    try:
        answer = backend.infer(read_model(models / "digits" / "1" / "model.toml"), BODY, 60.0)
        assert answer.cold_start is not None, "it was warm"
        return float(answer.service)
    finally:
        backend.close()


def print_starts(form: str, found: list[float]) -> None:
    """Print the median and the range."""
    print(
        f"cold start, {form}: {statistics.median(found):.2f} s "
        f"(from {min(found):.2f} to {max(found):.2f}, {len(found)} starts)"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--calls", type=int, default=200, help="of each kind in a block")
    parser.add_argument("--starts", type=int, default=3, help="cold starts of each form")
    options = parser.parse_args()
    environment()
    with tempfile.TemporaryDirectory(prefix="straightline-") as name:
        folder = Path(name)
        models = folder / "models"
        assert train(["--out", str(models)]) == 0
        compare(models, folder, options.blocks, options.calls)
        cold_starts(models, folder, options.starts)


if __name__ == "__main__":
    main()
