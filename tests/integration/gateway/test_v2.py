"""The whole system is one model server of the Open Inference Protocol."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pika
import pytest
import requests
import tritonclient.http as triton
from sqlalchemy import update
from tritonclient.utils import InferenceServerException

from outcomes.db.database import connected
from outcomes.schema.tables import SUBMISSIONS
from straightline import names
from straightline.contracts import Outcome, Request, decode_request
from tests.integration.gateway.conftest import Gateway, body, double
from tests.integration.straightline.replier import Replier

pytestmark = pytest.mark.integration


@pytest.fixture
def client(gateway: Gateway) -> triton.InferenceServerClient:
    return triton.InferenceServerClient(gateway.url.removeprefix("http://"))


def asked(values: Any, *, binary: bool) -> list[triton.InferInput]:
    tensor = triton.InferInput("x", [len(values)], "FP32")
    tensor.set_data_from_numpy(np.asarray(values, dtype=np.float32), binary_data=binary)
    return [tensor]


def ended(state: Any, error_class: str) -> Callable[[Request], Outcome]:
    return lambda request: Outcome(
        request_id=request.id, state=state, finished_at=time.time(), error_class=error_class, error="why"
    )


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("binary", [True, False])
def test_tritonclient_works_unchanged(
    gateway: Gateway, client: triton.InferenceServerClient, binary: bool
) -> None:
    headers = {"Authorization": f"Bearer {gateway.key}"}
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("double")
    assert client.get_model_metadata("double")["inputs"][0]["name"] == "x"
    outputs = [triton.InferRequestedOutput("y", binary_data=binary)]
    answer = client.infer("double", asked([1.5, -2], binary=binary), outputs=outputs, headers=headers)
    assert answer.as_numpy("y").tolist() == [3.0, -4.0]
    everything = client.infer("double", asked([7.0], binary=binary), headers=headers, model_version="1")
    assert everything.as_numpy("y").tolist() == [14.0]
    with pytest.raises(InferenceServerException, match="no model unknown"):
        client.infer("unknown", asked([1.0], binary=binary), headers=headers)


def test_a_response_names_its_request_and_backend(gateway: Gateway, model: Replier) -> None:
    answer = gateway.infer([1.0])
    assert answer.json()["outputs"][0]["data"] == [2.0]
    assert answer.headers["X-StraightLine-Request-Id"] == model.requests[0].id
    assert answer.headers["X-StraightLine-Backend"] == "local"


def test_large_data_goes_to_the_store(gateway: Gateway, system_url: str) -> None:
    with Replier(system_url, ended("failed", "model_error")) as replier:
        answer = gateway.infer([0.5] * 100_000)
    assert answer.status_code == 422
    reference = replier.requests[0].data_ref
    assert reference is not None
    assert Path(reference.uri.removeprefix("file://")).stat().st_size == reference.size


def test_the_same_idempotency_key_is_the_same_request(gateway: Gateway, model: Replier) -> None:
    for _ in range(2):
        gateway.infer([1.0], headers={"Idempotency-Key": "order-7"})
    other = gateway.make_key("infer")
    gateway.infer([1.0], headers={"Idempotency-Key": "order-7"}, key=other)
    first, second, third = (request.id for request in model.requests)
    assert first == second != third


@pytest.mark.parametrize(
    ("state", "error_class", "status"),
    [
        ("rejected", "wrong_inputs", 400),
        ("rejected", "saturated", 503),
        ("failed", "model_error", 422),
        ("failed", "unreachable", 502),
        ("expired", "deadline", 504),
        ("cancelled", "cancelled", 409),
    ],
)
def test_every_failure_has_a_status_and_the_form_of_the_protocol(
    gateway: Gateway, system_url: str, state: str, error_class: str, status: int
) -> None:
    with Replier(system_url, ended(state, error_class)):
        answer = gateway.infer([1.0])
    assert (answer.status_code, answer.json()) == (status, {"error": "why"})
    assert answer.headers["X-StraightLine-Error"] == error_class
    assert ("Retry-After" in answer.headers) == (status == 503)


def test_respond_async_returns_a_location(gateway: Gateway) -> None:
    answer = gateway.infer([1.0], headers={"Prefer": "respond-async"})
    assert answer.status_code == 202
    status = gateway.ask("GET", answer.headers["Location"])
    assert status.json()["state"] == "accepted"


@pytest.mark.parametrize("prefer", ["respond-async", "respond-async, wait=10"])
def test_a_request_that_the_broker_rejects_is_not_accepted(
    gateway: Gateway, system_url: str, prefer: str
) -> None:
    with pika.BlockingConnection(pika.URLParameters(system_url)) as connection:
        channel = connection.channel()
        channel.queue_unbind(names.INTERACTIVE_QUEUE, names.REQUESTS, "interactive")
        try:
            answer = gateway.infer([1.0], headers={"Prefer": prefer})
        finally:
            channel.queue_bind(names.INTERACTIVE_QUEUE, names.REQUESTS, "interactive")
    assert (answer.status_code, answer.headers["X-StraightLine-Error"]) == (503, "no_topology")


def _forget_content(gateway: Gateway, request_id: str) -> None:
    """Have the gateway not know what was asked first, as if the ledger had been away."""
    one = SUBMISSIONS.c.id == request_id
    end = time.monotonic() + 20
    with connected(gateway.database_url) as connection:
        while not connection.execute(update(SUBMISSIONS).where(one).values(digest=None)).rowcount:
            assert time.monotonic() < end, "no note was written"
        connection.commit()


def test_other_content_under_a_key_does_not_get_the_first_outcome(gateway: Gateway, system_url: str) -> None:
    answers: dict[float, requests.Response] = {}

    def ask(value: float) -> None:
        answers[value] = gateway.infer([value], headers={"Idempotency-Key": "order-8"})

    asking = [threading.Thread(target=ask, args=(value,)) for value in (1.0, 5.0)]
    with pika.BlockingConnection(pika.URLParameters(system_url)) as connection:
        channel = connection.channel()
        came: list[tuple[Any, bytes]] = []
        channel.basic_consume(
            names.INTERACTIVE_QUEUE,
            lambda _channel, _method, properties, content: came.append((properties, content)),
            auto_ack=True,
        )
        for number, thread in enumerate(asking, 1):
            thread.start()
            end = time.monotonic() + 20
            while len(came) < number:
                assert time.monotonic() < end, "the request did not come"
                connection.process_data_events(0.1)
            _forget_content(gateway, decode_request(came[0][1]).id)
        # The second one's content is another: it is refused, and first, since the first one takes its time.
        for (properties, content), outcome in (
            (came[1], ended("rejected", "conflict")),
            (came[0], double),
        ):
            told = outcome(decode_request(content))
            channel.basic_publish(
                names.REPLIES,
                properties.reply_to,
                msgspec.json.encode(told),
                pika.BasicProperties(correlation_id=properties.correlation_id),
            )
    for thread in asking:
        thread.join(20)
    assert answers[1.0].json()["outputs"][0]["data"] == [2.0]
    assert answers[5.0].status_code == 409


def test_no_caller_waits_beyond_the_deadline(gateway: Gateway) -> None:
    request = {**body([1.0]), "parameters": {"timeout": 100_000}}  # microseconds
    began = time.monotonic()
    answer = gateway.ask("POST", "/v2/models/double/infer", json=request)
    assert answer.status_code == 504
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("timeout", ["5", True, -1, [1], None, {}])
def test_an_invalid_timeout_is_rejected(gateway: Gateway, timeout: Any) -> None:
    request = {**body([1.0]), "parameters": {"timeout": timeout}}
    answer = gateway.ask("POST", "/v2/models/double/infer", json=request)
    assert answer.status_code == 400
    assert "number of microseconds" in answer.json()["error"]


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("timeout", [0, 5e6, 10**400])
def test_any_non_negative_timeout_is_accepted(gateway: Gateway, timeout: float) -> None:
    request = {**body([1.0]), "parameters": {"timeout": timeout}}
    assert gateway.ask("POST", "/v2/models/double/infer", json=request).status_code == 200


def waiting(url: str) -> int:
    """Count the requests that nobody has taken up."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        found: Any = connection.channel().queue_declare(names.INTERACTIVE_QUEUE, passive=True)
        return int(found.method.message_count)


def test_above_its_limit_the_gateway_answers_503(
    start_gateway: Callable[..., Gateway], system_url: str
) -> None:
    gateway = start_gateway(STRAIGHTLINE_GATEWAY_PENDING="1")
    first = threading.Thread(target=gateway.infer, args=([1.0],))
    first.start()
    end = time.monotonic() + 20
    while waiting(system_url) == 0:
        assert time.monotonic() < end
    answer = gateway.infer([1.0])
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    with Replier(system_url, double):
        first.join(20)
    assert not first.is_alive()


@pytest.mark.parametrize(
    ("header", "status"),
    [({}, 401), ({"Authorization": "Bearer sl_wrong"}, 401), ({"Authorization": "Basic eDp5"}, 401)],
)
def test_without_a_valid_key_nothing_is_done(
    gateway: Gateway, model: Replier, header: dict[str, str], status: int
) -> None:
    answer = requests.post(
        gateway.url + "/v2/models/double/infer", json=body([1.0]), headers=header, timeout=30
    )
    assert answer.status_code == status
    assert "error" in answer.json()
    assert model.requests == []


def test_scopes_limit_a_key(gateway: Gateway) -> None:
    assert gateway.infer([1.0], key=gateway.make_key("read")).status_code == 403
    assert gateway.ask("GET", "/v1/models", key=gateway.make_key("infer")).status_code == 403


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(
    ("content", "headers", "status", "words"),
    [
        (b"{", {}, 400, "V2 infer request"),
        (b'{"inputs": 1}', {}, 400, "inputs"),
        (b"{}", {"Inference-Header-Content-Length": "99"}, 400, "99"),
        (b"{}", {"Inference-Header-Content-Length": "x"}, 400, "number"),
        (b'{"inputs":[]}zz', {"Inference-Header-Content-Length": "13"}, 400, "after the last tensor"),
        (
            b"\x1f\x8b",
            {"Content-Encoding": "gzip"},
            400,
            "compressed (gzip): send it uncompressed",
        ),
    ],
)
def test_an_invalid_request_is_rejected(
    gateway: Gateway, content: bytes, headers: dict[str, str], status: int, words: str
) -> None:
    answer = gateway.ask("POST", "/v2/models/double/infer", data=content, headers=headers)
    assert answer.status_code == status
    assert words in answer.json()["error"]
    assert gateway.infer([1.0]).status_code == 200


@pytest.mark.usefixtures("model")
def test_an_unknown_version_is_reported_with_the_known_ones(gateway: Gateway) -> None:
    answer = gateway.ask("GET", "/v2/models/double/versions/9")
    assert (answer.status_code, answer.headers["X-StraightLine-Error"]) == (404, "unknown_version")
    assert "model double has no version 9; it has 1" in answer.json()["error"]


def test_a_body_above_the_limit_is_rejected(start_gateway: Callable[..., Gateway]) -> None:
    gateway = start_gateway(STRAIGHTLINE_GATEWAY_MAX_BODY="1000")
    answer = gateway.infer([1.0] * 1000)
    assert answer.status_code == 413
    assert "STRAIGHTLINE_GATEWAY_MAX_BODY" in answer.json()["error"]
