"""Time from a cold start to the first answer of each deployment form, beside MLServer's.

From the start of the process (server), the first invocation (function) or the start of the container
(container).
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from benchmarks.peers.mlserver import environment
from benchmarks.results import Result
from benchmarks.rig import Rig
from benchmarks.support.v2_servers import BODY, in_json, our_server, running, their_server
from modelkit.package.function import package_function
from script.docker_engine.docker_engine import engine
from script.docker_engine.model_image import build_image
from script.stack.services.ports import free_ports
from script.support.errors import StackError
from straightline.models.catalogue import read_model
from workers.backends import gpu_container, serverless

ANSWER_TIMEOUT_S: Final = 60.0
PEER: Final = "MLServer"


def run(rig: Rig) -> list[Result]:
    """Measure each form `rounds` times; without a Docker engine, all but containers."""
    rig.say("providing MLServer")
    environment()
    rig.call("examples.digits.make_model", "--out", str(rig.models))
    rounds = range(rig.size("rounds"))
    packages, fresh = rig.folder("functions"), rig.folder("mlserver")
    package_function(rig.models / "digits" / "1", packages)
    found = {"server": [seconds_to_answer(our_server(rig, rig.models)) for _ in rounds]}
    theirs = [seconds_to_answer(their_server(fresh, rig.models)) for _ in rounds]
    found["function"] = [function_start(rig, packages) for _ in rounds]
    try:
        found["container"] = container_starts(rig.models, len(rounds))
    except StackError as error:
        rig.say(f"container: not measured: {str(error).splitlines()[0]}")
    return [Result.beside(f"cold_starts/{form}", "s", times, theirs, PEER) for form, times in found.items()]


def seconds_to_answer(server: AbstractContextManager[str]) -> float:
    """Return the seconds from a server's start until its first answer."""
    start = time.perf_counter()
    with server as url:
        in_json(url).call()
        return time.perf_counter() - start


def function_start(rig: Rig, packages: Path) -> float:
    """Return the seconds of the first invocation on a fresh function host."""
    with function_host(rig, packages) as url:
        aws = {
            "AWS_ENDPOINT_URL_LAMBDA": url,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
        }
        with patch.dict(os.environ, aws):  # boto3 reads no other
            return first_answer(serverless, dict(os.environ), rig.models)


@contextmanager
def function_host(rig: Rig, packages: Path) -> Iterator[str]:
    """Start a function host, and give its URL when it listens."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    arguments = ("--packages", str(packages), "--port", str(port))
    with running(rig, "function_host", *arguments, ready=f"{url}/2015-03-31/functions"):
        yield url


def container_starts(models: Path, count: int) -> list[float]:
    """Return the seconds of the first answer of fresh containers.

    Raises:
        StackError: no Docker engine answers, and none can be started here.
    """
    with ExitStack() as stack:
        environ = {**os.environ, **stack.enter_context(engine())}
        build_image(models / "digits" / "1", "straightline-benchmark/digits:1", environ)
        environ |= {
            "STRAIGHTLINE_MODELS_DIR": str(models),
            "STRAIGHTLINE_CONTAINER_DRIVER": "docker",
            "STRAIGHTLINE_CONTAINER_IMAGE": "straightline-benchmark/{model}:{version}",
        }
        return [first_answer(gpu_container, environ, models) for _ in range(count)]


def first_answer(module: Any, environ: dict[str, str], models: Path) -> float:
    """Return the seconds of the first call through a pool's backend."""
    backend = module.create(environ)
    try:
        answer = backend.infer(read_model(models / "digits" / "1" / "model.toml"), BODY, ANSWER_TIMEOUT_S)
        assert answer.cold_start is not None, "it was warm"
        return float(answer.service)
    finally:
        backend.close()


if __name__ == "__main__":
    from benchmarks.command.cli import main

    sys.exit(main("cold_starts"))
