"""The command line, as a program of its own against a real broker."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from straightline.contracts import Outcome, Request
from straightline.contracts.request import NO_DATA, DataRef
from straightline.ids import new_id
from straightline.storage.store import Store
from tests.integration.straightline.replier import Replier

pytestmark = pytest.mark.integration

DATA = {"inputs": [{"name": "images", "shape": [1, 2], "datatype": "FP32", "data": [0.5, 16]}]}
RESULT = {
    "model_name": "digits",
    "outputs": [{"name": "label", "shape": [1], "datatype": "INT64", "data": [7]}],
}
ROOT = Path(__file__).resolve().parents[3]


def submit(
    url: str, *arguments: str, text: str | None = json.dumps(DATA), **settings: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "straightline", "submit", "--model", "digits", *arguments],
        input=text,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT,
        env={**os.environ, "STRAIGHTLINE_BROKER_URL": url, **settings},
    )


def answer(request: Request) -> Outcome:
    return Outcome(
        request_id=request.id,
        state="succeeded",
        finished_at=time.time(),
        submitted_at=request.submitted_at,
        model=request.model,
        result=msgspec.Raw(msgspec.json.encode(RESULT)),
    )


def fail(request: Request) -> Outcome:
    return Outcome(
        request_id=request.id,
        state="failed",
        finished_at=time.time(),
        error_class="model_error",
        error="the model stumbled",
    )


def test_it_prints_the_answer_for_people(broker_url: str, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps(DATA))
    with Replier(broker_url, answer):
        done = submit(broker_url, "--input", str(file), "--wait")
    assert (done.returncode, done.stderr) == (0, "")
    assert "succeeded, model digits" in done.stdout
    assert "label INT64[1]: [7]" in done.stdout


def test_it_prints_the_outcome_as_json(broker_url: str) -> None:
    with Replier(broker_url, answer):
        done = submit(broker_url, "--input", "-", "--wait", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["result"] == RESULT


def test_without_waiting_it_prints_the_id(broker_url: str) -> None:
    identity = new_id()
    done = submit(broker_url, "--input", "-", "--id", identity, "--class", "batch")
    assert (done.returncode, done.stdout, done.stderr) == (0, identity + "\n", "")
    done = submit(broker_url, "--input", "-", "--id", identity, "--json")
    assert json.loads(done.stdout) == {"id": identity}


def test_a_failed_request_ends_with_exit_code_1(broker_url: str) -> None:
    with Replier(broker_url, fail):
        done = submit(broker_url, "--input", "-", "--wait")
    assert done.returncode == 1
    assert "model_error: the model stumbled" in done.stdout


def test_a_result_in_a_store_that_the_shell_does_not_name_is_no_wrong_usage(
    broker_url: str, tmp_path: Path
) -> None:
    root = (tmp_path / "store").as_uri()
    ref = Store(root).put(json.dumps(RESULT).encode())
    gone = DataRef(uri=f"{root}/00/{'0' * 64}", size=1, sha256="0" * 64)
    identities = [new_id(), new_id(), new_id()]

    def refer(request: Request) -> Outcome:
        outcome = answer(request)
        outcome.result, outcome.result_ref = NO_DATA, gone if request.id == identities[2] else ref
        return outcome

    with Replier(broker_url, refer):
        without = submit(broker_url, "--input", "-", "--wait", "--id", identities[0])
        other, missing = (
            submit(broker_url, "--input", "-", "--wait", "--id", identity, STRAIGHTLINE_STORE=store)
            for identity, store in ((identities[1], (tmp_path / "other").as_uri()), (identities[2], root))
        )
    for done, identity in zip((without, other, missing), identities, strict=True):
        assert (done.returncode, done.stdout) == (3, "")
        assert f"request id: {identity}" in done.stderr
        assert f"`straightline result {identity}`" in done.stderr
        assert "Client(" not in done.stderr
    assert f"set STRAIGHTLINE_STORE to {root}" in without.stderr
    assert "is not under the store" in other.stderr
    assert "no file at" in missing.stderr


def test_without_a_result_in_time_the_exit_code_is_4(broker_url: str) -> None:
    done = submit(broker_url, "--input", "-", "--wait", "--timeout", "0.2", "--class", "batch")
    assert done.returncode == 4
    assert "within 0.2 s" in done.stderr


def test_without_a_broker_the_exit_code_is_3_in_one_clear_line() -> None:
    identity = new_id()
    done = submit(
        "amqp://u:secret@127.0.0.1:1/", "--input", "-", "--confirm-timeout", "0.5", "--id", identity
    )
    assert done.returncode == 3
    assert "refused" in done.stderr
    assert identity in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_topology_the_exit_code_is_3(empty_broker_url: str) -> None:
    done = submit(empty_broker_url, "--input", "-")
    assert done.returncode == 3
    assert "python -m broker_config" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "text", "words"),
    [
        (["--input", "-"], "{", "V2 infer request"),
        (["--input", "/nowhere/at/all"], "", "cannot be read"),
        (["--input", "-", "--id", "7"], json.dumps(DATA), "UUID"),
        (["--input", "-", "--class", "urgent"], "", "invalid choice"),
        (["--input", "-", "--wait", "--timeout", "nan"], "", "number of seconds"),
        (["--input", "-", "--wait", "--timeout", "inf"], "", "number of seconds"),
        (["--input", "-", "--timeout", "-1"], "", "number of seconds"),
        (["--input", "-", "--confirm-timeout", "0"], json.dumps(DATA), "number of seconds"),
        ([], "", "--input"),
    ],
)
def test_a_usage_error_ends_with_exit_code_2(arguments: list[str], text: str, words: str) -> None:
    done = submit("amqp://127.0.0.1:1/", *arguments, text=text)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_setting_it_names_the_variable() -> None:
    done = submit("", "--input", "-")
    assert done.returncode == 2
    assert "STRAIGHTLINE_BROKER_URL" in done.stderr
