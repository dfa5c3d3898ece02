"""The curl example works against a gateway with its model."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from outcomes.recording.ledger import Ledger
from outcomes.rows.row_mapping import entry_of
from straightline.contracts import Outcome, Request
from tests.integration.gateway.conftest import Gateway, Starter
from tests.integration.straightline.replier import Answer, Replier
from tests.npm import ROOT

pytestmark = pytest.mark.integration

SCRIPT = ROOT / "examples" / "any_language" / "curl" / "request.sh"
RESULT = {
    "model_name": "digits",
    "outputs": [{"name": "label", "shape": [1], "datatype": "INT64", "data": [7]}],
}


@pytest.fixture(scope="module")
def digits(place: tuple[Starter, str], tmp_path_factory: pytest.TempPathFactory) -> Gateway:
    models = tmp_path_factory.mktemp("digits")
    bundle = models / "digits" / "1"
    bundle.mkdir(parents=True)
    shutil.copy(ROOT / "examples" / "digits" / "model.toml", bundle)
    return place[0].start(STRAIGHTLINE_MODELS_DIR=str(models))


def run(gateway: Gateway, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={
            "PATH": os.environ["PATH"],
            "STRAIGHTLINE_GATEWAY_URL": gateway.url,
            "STRAIGHTLINE_API_KEY": gateway.key,
        },
        timeout=90,
    )


def ended(request: Request, **how: Any) -> Outcome:
    return Outcome(
        request_id=request.id,
        model="digits",
        finished_at=time.time(),
        submitted_at=request.submitted_at,
        **how,
    )


@contextmanager
def answering(gateway: Gateway, broker_url: str, answer: Answer) -> Iterator[Replier]:
    """Answer as the system would, and record it as the recorder would."""
    ledger = Ledger(gateway.database_url)

    def recorded(request: Request) -> Outcome:
        outcome = answer(request)
        ledger.write([entry_of(outcome, time.time())])
        return outcome

    with Replier(broker_url, recorded) as replier:
        yield replier
    ledger.close()


def test_a_synchronous_and_an_asynchronous_request(digits: Gateway, system_url: str) -> None:
    def answer(request: Request) -> Outcome:
        return ended(request, state="succeeded", result=msgspec.Raw(msgspec.json.encode(RESULT)))

    with answering(digits, system_url, answer) as replier:
        done = run(digits, "order-4711")
        again = run(digits, "order-4711")
    assert (done.returncode, done.stderr) == (0, "")
    answered, status, fetched = (json.loads(line) for line in done.stdout.splitlines())
    assert answered["outputs"] == fetched["outputs"] == RESULT["outputs"]
    assert (status["state"], status["has_result"]) == ("succeeded", True)
    assert again.stdout == done.stdout
    assert len({request.id for request in replier.requests}) == 2, "a key names one request"


def test_a_failure_is_shown_with_its_reason(digits: Gateway, system_url: str) -> None:
    def answer(request: Request) -> Outcome:
        return ended(request, state="failed", error_class="model_error", error="it takes no zeros")

    with answering(digits, system_url, answer):
        done = run(digits)
    assert done.returncode == 1
    assert "it takes no zeros" in done.stdout
