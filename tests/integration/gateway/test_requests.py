"""Requests as resources: submitted, reported, explained."""

import json
import time
from typing import Any

import pika
import pytest

from outcomes.recording.ledger import Ledger
from outcomes.rows.row_mapping import entry_of
from straightline import names
from straightline.contracts import Attempt, Outcome, Reason
from straightline.ids import new_id
from tests.integration.gateway.conftest import Gateway, body
from tests.integration.straightline.replier import Replier

pytestmark = pytest.mark.integration


def attempt(number: int, backend: Any, **fields: Any) -> Attempt:
    now = time.time()
    reason = Reason(policy="empirical", rule=3, f_t=1.0, F=50.0, r_d=40, D=100, s_f=True, s_d=False)
    return Attempt(
        number=number,
        backend=backend,
        placed_at=now,
        started_at=now,
        finished_at=now,
        reason=reason,
        **fields,
    )


def record(gateway: Gateway, outcome: Outcome) -> Outcome:
    ledger = Ledger(gateway.database_url)
    ledger.write([entry_of(outcome, time.time())])
    ledger.close()
    return outcome


def test_a_request_is_accepted_and_its_status_reported(gateway: Gateway, model: Replier) -> None:
    answer = gateway.ask("POST", "/v1/requests", json={"model": "double", "data": body([1.0])})
    assert answer.status_code == 202
    where = answer.headers["Location"]
    assert gateway.ask("GET", where).json()["state"] == "accepted"
    result = gateway.ask("GET", where + "/result")
    assert (result.status_code, result.json()["state"]) == (409, "accepted")
    assert result.headers["Content-Type"] == "application/problem+json"
    waited = gateway.ask(
        "POST",
        "/v1/requests",
        json={"model": "double", "data": body([1.0]), "class": "interactive"},
        headers={"Prefer": "respond-async, wait=10"},
    )
    assert (waited.status_code, waited.json()["state"]) == (200, "succeeded")
    assert {request.model for request in model.requests} == {"double"}


def test_an_ended_request_is_reported_with_every_placement(gateway: Gateway) -> None:
    tried = [
        attempt(1, "local", succeeded=False, error_class="unreachable", error="nobody answers"),
        attempt(2, "serverless", succeeded=True),
    ]
    ended = record(
        gateway,
        Outcome(
            request_id=new_id(),
            state="succeeded",
            model="explained",
            backend="serverless",
            attempts=tried,
            finished_at=time.time(),
            submitted_at=time.time(),
            result=type(Outcome(request_id="", state="failed", finished_at=0).result)(b'{"outputs":[]}'),
        ),
    )
    status = gateway.ask("GET", f"/v1/requests/{ended.request_id}").json()
    assert (status["state"], status["attempts"], status["has_result"]) == ("succeeded", 2, True)
    assert gateway.ask("GET", f"/v1/requests/{ended.request_id}/result").json() == {"outputs": []}
    story = gateway.ask("GET", f"/v1/placements/{ended.request_id}").json()
    assert [step["backend"] for step in story["steps"]] == ["local", "serverless"]
    assert story["steps"][0]["reason"]["rule"] == 3
    rates = gateway.ask("GET", "/v1/failures?since=5m&model=explained").json()
    assert {rate["name"]: rate["attempts_failed"] for rate in rates["by_backend"]}["local"] == 1


def test_models_are_listed_with_their_tensors(gateway: Gateway) -> None:
    (entry,) = gateway.ask("GET", "/v1/models").json()["models"]
    assert (entry["name"], entry["version"], entry["default"]) == ("double", "1", True)
    assert entry["inputs"][0]["datatype"] == "FP32"


def test_backends_are_listed_with_their_workers(gateway: Gateway, system_url: str) -> None:
    beat = {"backend": "local", "worker": "local@a", "sent_at": time.time(), "interval": 60.0}
    with pika.BlockingConnection(pika.URLParameters(system_url)) as connection:
        for worker, healthy in (("local@a", True), ("local@b", False)):
            body = json.dumps({**beat, "worker": worker, "slots": 4, "active": 1, "healthy": healthy})
            connection.channel().basic_publish(names.SIGNALS, names.HEARTBEAT_KEY, body)
    end = time.monotonic() + 10
    found: dict[str, Any] = {}
    while len(found.get("workers", ())) < 2:
        assert time.monotonic() < end, found
        backends = gateway.ask("GET", "/v1/backends").json()["backends"]
        (found,) = (each for each in backends if each["backend"] == "local")
    assert (found["healthy"], found["slots"], found["active"]) == (True, 4, 1)
    assert [(each["worker"], each["healthy"]) for each in found["workers"]] == [
        ("local@a", True),
        ("local@b", False),
    ]


@pytest.mark.parametrize(
    ("asked", "status", "words"),
    [
        (("GET", f"/v1/requests/{new_id()}", None), 503, "no scheduler leads now"),
        (("GET", "/v1/requests/7", None), 404, "UUID"),
        (("GET", "/v1/failures?since=soon", None), 400, "soon"),
        (("GET", "/v1/nothing", None), 404, "GET /openapi.json"),
        (("PUT", "/v1/models", None), 405, "the header Allow lists those it has"),
        (("POST", "/v1/requests", b"[]"), 400, "object"),
        (("POST", "/v1/requests", b'{"modell": 1}'), 400, "unknown member modell"),
        (("POST", "/v1/requests", b'{"model": "double"}'), 400, "either data or data_ref"),
        (("POST", "/v1/requests", b'{"model": 1, "data": {}}'), 400, "model"),
        (("POST", "/v1/requests", b'{"model": "double", "data": {}}'), 400, "inputs"),
    ],
)
def test_an_error_is_a_problem_with_advice(
    gateway: Gateway, asked: tuple[str, str, bytes | None], status: int, words: str
) -> None:
    method, path, content = asked
    answer = gateway.ask(method, path, data=content)
    assert answer.status_code == status
    problem = answer.json()
    assert problem["status"] == status
    assert words in problem["detail"]
    assert answer.headers["Content-Type"] == "application/problem+json"
