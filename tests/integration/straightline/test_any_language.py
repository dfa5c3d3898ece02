"""The examples for other languages do what they say, with a producer's rights on a real broker."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pika
import pytest

from straightline import names
from straightline.contracts import DataRef, Outcome, Request
from straightline.ids import id_of_key
from tests.golang import build
from tests.integration.straightline.replier import Replier
from tests.npm import ROOT, node_modules

pytestmark = pytest.mark.integration

EXAMPLES = ROOT / "examples" / "any_language"
Run = Callable[..., subprocess.CompletedProcess[str]]
RESULT = {
    "model_name": "digits",
    "outputs": [{"name": "label", "shape": [1], "datatype": "INT64", "data": [7]}],
}


def answered(request: Request) -> Outcome:
    return Outcome(
        request_id=request.id,
        state="succeeded",
        finished_at=time.time(),
        result=msgspec.Raw(msgspec.json.encode(RESULT)),
    )


def rejected(request: Request) -> Outcome:
    return Outcome(
        request_id=request.id,
        state="rejected",
        finished_at=time.time(),
        error_class="unknown_model",
        error="there is no model digits",
    )


def stored(request: Request) -> Outcome:
    reference = DataRef(uri="file:///far/away", size=1, sha256="0" * 64)
    return Outcome(request_id=request.id, state="succeeded", finished_at=time.time(), result_ref=reference)


@pytest.fixture(scope="session")
def go_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("go") / "request"
    build(EXAMPLES / "go" / "main.go", program)
    return program


@pytest.fixture(params=["python", "node", "go"])
def run(request: pytest.FixtureRequest, user_urls: dict[str, str], tmp_path: Path) -> Run:
    """Run the example in one of the languages."""
    if request.param == "python":
        command = [sys.executable, "-W", "error", str(EXAMPLES / "python" / "request.py")]
    elif request.param == "go":
        command = [str(request.getfixturevalue("go_program"))]
    else:
        (tmp_path / "node_modules").symlink_to(node_modules(EXAMPLES / "node"))
        command = ["node", shutil.copy(str(EXAMPLES / "node" / "request.mjs"), str(tmp_path))]

    def start(*arguments: str, url: str = user_urls["producer"]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "STRAIGHTLINE_BROKER_URL": url},
            timeout=60,
        )

    return start


def test_an_answer_is_printed_and_a_key_names_the_request(run: Run, broker_url: str) -> None:
    with Replier(broker_url, answered) as replier:
        runs = [run("order-4711"), run("order-4711"), run()]
    for done in runs:
        assert (done.returncode, done.stderr) == (0, "")
        word, _, result = done.stdout.partition(" ")
        assert (word, msgspec.json.decode(result)) == ("succeeded", RESULT)
    first, again, other = replier.requests
    assert first.id == again.id == id_of_key("order-4711")
    assert first.data == again.data, "other bytes under a known key would be a conflict"
    assert other.id[14] == "7"
    assert abs(int(other.id.replace("-", "")[:12], 16) / 1000 - time.time()) < 60
    assert other.deadline is not None
    assert other.infer_request().inputs[0].name == "images"


def test_a_large_result_is_pointed_at(run: Run, broker_url: str) -> None:
    with Replier(broker_url, stored):
        done = run()
    assert (done.returncode, done.stderr) == (0, "")
    assert "file:///far/away" in done.stdout


def test_a_rejection_has_its_reason(run: Run, broker_url: str) -> None:
    with Replier(broker_url, rejected):
        done = run()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.split(maxsplit=2)[:2] == ["rejected", "unknown_model"]
    assert "there is no model digits" in done.stderr


def test_an_unroutable_request_fails_at_once(run: Run, broker_url: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        connection.channel().queue_unbind(names.INTERACTIVE_QUEUE, names.REQUESTS, "interactive")
    done = run()
    assert done.returncode == 3, done.stderr
    assert "was not confirmed" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unreachable_broker_is_reported(run: Run) -> None:
    done = run(url="amqp://nobody:nothing@127.0.0.1:1/%2F")
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
