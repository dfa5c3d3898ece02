"""Commands that use the gateway, as programs, against a real one."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from straightline.cli import main
from straightline.contracts import FailureReport, ModelList, Outcome, PlacementHistory, RequestStatus
from straightline.ids import new_id
from tests.integration.gateway.conftest import Gateway, body
from tests.integration.gateway.idle_leader import IdleLeader
from tests.integration.gateway.test_requests import attempt, record

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]
RESULT = {
    "model_name": "double",
    "outputs": [{"name": "y", "shape": [1], "datatype": "FP32", "data": [2.0]}],
}


def run(gateway: Gateway, *arguments: str, key: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "straightline", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "STRAIGHTLINE_GATEWAY_URL": gateway.url,
            "STRAIGHTLINE_API_KEY": gateway.key if key is None else key,
        },
    )


def succeeded(gateway: Gateway) -> Outcome:
    now = time.time()
    return record(
        gateway,
        Outcome(
            request_id=new_id(),
            state="succeeded",
            model="double",
            version="1",
            backend="serverless",
            submitted_at=now - 0.5,
            finished_at=now,
            attempts=[
                attempt(1, "local", succeeded=False, error_class="unreachable", error="nobody answers"),
                attempt(2, "serverless", succeeded=True),
            ],
            result=msgspec.Raw(msgspec.json.encode(RESULT)),
        ),
    )


def failed(gateway: Gateway) -> Outcome:
    return record(
        gateway,
        Outcome(
            request_id=new_id(),
            state="failed",
            model="double",
            finished_at=time.time(),
            error_class="model_error",
            error="it stumbled",
            attempts=[attempt(1, "local", succeeded=False, error_class="model_error", error="it stumbled")],
        ),
    )


def test_a_succeeded_request_is_shown(gateway: Gateway, tmp_path: Path) -> None:
    identity = succeeded(gateway).request_id
    done = run(gateway, "status", identity)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{identity}  succeeded\n  model       double 1\n")
    as_json = msgspec.json.decode(run(gateway, "status", identity, "--json").stdout, type=RequestStatus)
    assert (as_json.state, as_json.backend, as_json.has_result) == ("succeeded", "serverless", True)
    done = run(gateway, "result", identity.upper())
    assert (done.returncode, done.stdout) == (0, "  y FP32[1]: [2.0]\n")
    assert json.loads(run(gateway, "result", identity, "--json").stdout) == RESULT
    file = tmp_path / "answer.json"
    assert run(gateway, "result", identity, "--out", str(file)).returncode == 0
    assert json.loads(file.read_bytes()) == RESULT
    done = run(gateway, "why", identity)
    assert "1. local: unreachable: nobody answers" in done.stdout
    assert "2. serverless: answered" in done.stdout
    assert "3 of empirical: a local server is available" in done.stdout
    story = msgspec.json.decode(run(gateway, "why", identity, "--json").stdout, type=PlacementHistory)
    assert [step.succeeded for step in story.steps] == [False, True]


def test_a_request_that_failed_has_no_result_and_the_exit_code_is_1(gateway: Gateway) -> None:
    identity = failed(gateway).request_id
    assert run(gateway, "status", identity).returncode == 0
    done = run(gateway, "result", identity)
    assert (done.returncode, done.stdout) == (1, "")
    assert "ended failed: model_error: it stumbled" in done.stderr


def test_a_request_that_has_not_ended_has_none_yet_and_the_exit_code_is_4(gateway: Gateway) -> None:
    waiting = gateway.ask("POST", "/v1/requests", json={"model": "double", "data": body([1.0])}).json()["id"]
    done = run(gateway, "result", waiting)
    assert done.returncode == 4
    assert "has not ended" in done.stderr
    assert run(gateway, "result", waiting, "--wait", "--timeout", "0.3").returncode == 4


def test_wait_prints_the_result_when_it_arrives(gateway: Gateway) -> None:
    identity = new_id()
    waiting = subprocess.Popen(
        [sys.executable, "-m", "straightline", "result", identity, "--wait", "--timeout", "50"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "STRAIGHTLINE_GATEWAY_URL": gateway.url,
            "STRAIGHTLINE_API_KEY": gateway.key,
        },
    )
    outcome = Outcome(
        request_id=identity,
        state="succeeded",
        finished_at=time.time(),
        result=msgspec.Raw(msgspec.json.encode(RESULT)),
    )
    record(gateway, outcome)
    told, _ = waiting.communicate(timeout=60)
    assert (waiting.returncode, told) == (0, "  y FP32[1]: [2.0]\n")


def test_models_and_failures_are_tables(gateway: Gateway) -> None:
    failed(gateway)
    done = run(gateway, "models")
    assert done.returncode == 0
    assert "double  1        default" in done.stdout
    assert "x FP32[-1]" in done.stdout
    assert msgspec.json.decode(run(gateway, "models", "--json").stdout, type=ModelList).models
    done = run(gateway, "failures", "--since", "10m", "--model", "double")
    assert done.returncode == 0
    assert "model_error" in done.stdout
    report = msgspec.json.decode(run(gateway, "failures", "--json").stdout, type=FailureReport)
    assert {rate.name for rate in report.by_model} >= {"double"}


@pytest.mark.parametrize("command", ["status", "result", "why"])
def test_what_is_not_known_has_the_exit_code_5_and_3_where_no_scheduler_can_be_asked(
    gateway: Gateway,
    system_url: str,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("STRAIGHTLINE_GATEWAY_URL", gateway.url)
    monkeypatch.setenv("STRAIGHTLINE_API_KEY", gateway.key)

    def wait_for(code: int) -> Any:
        end = time.monotonic() + 30
        while (found := main([command, new_id()])) != code:
            capsys.readouterr()
            assert time.monotonic() < end, found
        return capsys.readouterr()

    with IdleLeader(system_url):
        assert "is unknown" in wait_for(5).err
    told = wait_for(3)
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert "no scheduler leads now" in told.err


def test_a_request_is_cancelled_through_the_gateway_without_a_broker(gateway: Gateway) -> None:
    waiting = gateway.ask("POST", "/v1/requests", json={"model": "double", "data": body([1.0])}).json()["id"]
    done = run(gateway, "cancel", waiting)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{waiting} is being cancelled\n"
    ended = succeeded(gateway).request_id
    assert run(gateway, "cancel", ended).stdout == f"{ended} had already ended: succeeded\n"


def test_a_wrong_key_is_reported_and_not_printed(gateway: Gateway) -> None:
    done = run(gateway, "models", key="sl_wrong")
    assert done.returncode == 2
    assert "STRAIGHTLINE_API_KEY" in done.stderr
    assert "sl_wrong" not in done.stderr


def test_a_key_without_the_scope_is_rejected(gateway: Gateway) -> None:
    done = run(gateway, "models", key=gateway.make_key("infer"))
    assert done.returncode == 2
    assert "read" in done.stderr
