"""The time until the first answer of each form, beside MLServer's: printed by `v2_server`."""

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.v2_servers import BODY, in_json, our_server, running, their_server
from modelkit.package.function import package_function
from script.docker_engine.docker_engine import engine
from script.docker_engine.model_image import build_image
from script.stack.errors import StackError
from script.stack.services.ports import free_ports
from straightline.models.catalogue import read_model
from workers.backends import gpu_container, serverless


@contextmanager
def function_host(packages: Path) -> Iterator[str]:
    """Start a function host, and give its URL when it listens."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    with running(
        *("function_host", "--packages", str(packages), "--port", str(port)),
        answers=f"{url}/2015-03-31/functions",
    ):
        yield url


def seconds_to_answer(server: Any) -> float:
    """Return the seconds from a server's start until its first answer."""
    start = time.perf_counter()
    with server as url:
        in_json(url).call()
        return time.perf_counter() - start


def cold_starts(models: Path, folder: Path, starts: int) -> None:
    """Measure and print the cold start of each form."""
    print_starts("server", [seconds_to_answer(our_server(models)) for _ in range(starts)])
    print_starts("MLServer", [seconds_to_answer(their_server(folder, models)) for _ in range(starts)])
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
