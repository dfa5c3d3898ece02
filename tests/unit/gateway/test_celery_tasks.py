"""Celery task messages become requests or rejections, and outcomes become results."""

import json
from typing import Any

import msgspec
import pytest
from celery import Celery
from hypothesis import given
from hypothesis import strategies as st
from pika import BasicProperties

from gateway.celery_adapter.results import result_of
from gateway.celery_adapter.service import request_for, result_for
from gateway.celery_adapter.tasks import UnsupportedTask, request_of, task_of
from gateway.shared.relay import UnreadableMessage
from straightline import names
from straightline.amqp import Outgoing
from straightline.contracts import DataRef, Outcome, decode_request
from straightline.ids import new_id

NOW = 1_800_000_000.0
DATA = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1.5]}]}
QUEUE = "0195e3a0-5c1e-7000-8000-00000000abcd"
KWARGS = {"model": "m", "data": DATA}


def message(
    app: Celery, kwargs: dict[str, Any] | None = None, **options: Any
) -> tuple[BasicProperties, bytes]:
    """Return what Celery itself would publish for `send_task`."""
    options.setdefault("reply_to", QUEUE)
    made = app.amqp.as_task_v2(new_id(), names.INFER_TASK, kwargs=kwargs or KWARGS, **options)
    return properties(made.headers, **made.properties), json.dumps(made.body).encode()


def properties(headers: dict[str, Any], **fields: Any) -> BasicProperties:
    known = {"content_type": "application/json", "content_encoding": "utf-8"}
    return BasicProperties(headers=headers, **(known | fields))


def translate(sent: tuple[BasicProperties, bytes]) -> Outgoing:
    return request_of(task_of(sent[0]), sent[1], NOW)


@pytest.fixture
def app() -> Celery:
    return Celery("theirs", broker="amqp://", backend="rpc://", set_as_current=False)


def test_a_task_becomes_a_request_with_its_id_and_result_queue(app: Celery) -> None:
    sent = message(app, {**KWARGS, "allow": ["local"], "version": "2"})
    made = translate(sent)
    request = decode_request(made.body, message_id=made.message_id)
    assert request.id == sent[0].correlation_id
    assert (request.model, request.version, request.allow) == ("m", "2", ("local",))
    assert json.loads(bytes(request.data)) == DATA
    assert (made.exchange, made.routing_key) == (names.REQUESTS, "interactive")
    assert (made.reply_to, made.correlation_id) == (names.CELERY_REPLY_KEY, QUEUE)


def test_a_batch_task_is_routed_as_batch(app: Celery) -> None:
    made = translate(message(app, {**KWARGS, "class": "batch"}))
    assert made.routing_key == "batch"
    assert decode_request(made.body).class_ == "batch"


def test_expires_sets_the_deadline(app: Celery) -> None:
    sooner = translate(message(app, {**KWARGS, "deadline": 4e9}, expires="2027-01-15T08:00:30+00:00"))
    assert decode_request(sooner.body).deadline == NOW + 30
    earlier = translate(message(app, {**KWARGS, "deadline": NOW + 5}, expires="2027-01-15T08:00:30+00:00"))
    assert decode_request(earlier.body).deadline == NOW + 5


def test_no_result_is_requested_if_the_caller_ignores_it(app: Celery) -> None:
    made = translate(message(app, ignore_result=True))
    assert made.reply_to is None


def test_the_trace_context_is_passed_on(app: Celery) -> None:
    sent = message(app)
    sent[0].headers["traceparent"] = "00-1-2-01"
    assert translate(sent).headers == {"traceparent": "00-1-2-01"}


def test_unsupported_canvas_features_are_rejected_by_name(app: Celery) -> None:
    step = app.signature(names.INFER_TASK, kwargs=KWARGS)
    asked: dict[str, dict[str, Any]] = {
        "a chain": {"chain": [dict(step)]},
        "a chord": {"chord": dict(step)},
        "link ": {"callbacks": [dict(step)]},
        "link_error": {"errbacks": [dict(step)]},
    }
    for words, options in asked.items():
        with pytest.raises(UnsupportedTask, match=words):
            translate(message(app, **options))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"eta": "2030-01-01T00:00:00+00:00"}, "eta and countdown"),
        ({"timelimit": [None, 5]}, "time limits"),
        ({"compression": "bzip2"}, "compressed"),
        ({"task": "their.task"}, "no task 'their.task'"),
        ({"id": "42"}, "UUID"),
        ({"expires": "soon"}, "ISO 8601"),
    ],
)
def test_unsupported_headers_are_rejected(app: Celery, change: dict[str, Any], words: str) -> None:
    sent = message(app)
    sent[0].headers.update(change)
    with pytest.raises(UnsupportedTask, match=words):
        translate(sent)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[[1], {}, {}]", "keyword arguments"),
        (b'[[], {"modell": "m"}, {}]', "no argument modell"),
        (b'{"task": "x"}', "protocol 2"),
        (b"[[], {}]", "protocol 2"),
        (b"[" * 5000, "protocol 2"),
        (b'[[], {"deadline": "soon"}, {}]', "deadline"),
    ],
)
def test_a_malformed_body_is_rejected(app: Celery, body: bytes, words: str) -> None:
    with pytest.raises(UnsupportedTask, match=words):
        translate((message(app, expires="2027-01-15T08:00:30+00:00")[0], body))


def test_only_json_is_accepted(app: Celery) -> None:
    sent = message(app)
    sent[0].content_type = "application/x-python-serialize"
    with pytest.raises(UnsupportedTask, match="task_serializer"):
        translate(sent)


def test_a_rejection_is_sent_as_the_result(app: Celery) -> None:
    sent = message(app, eta="2030-01-01T00:00:00+00:00")
    made = request_for(*sent)
    assert (made.exchange, made.routing_key, made.correlation_id) == (
        "",
        QUEUE,
        sent[0].correlation_id,
    )
    result = json.loads(made.body)
    assert result["status"] == "FAILURE"
    assert "eta" in result["result"]["exc_message"][0]


@given(st.binary(max_size=200), st.dictionaries(st.text(max_size=8), st.none() | st.integers() | st.text()))
def test_any_message_is_accepted_or_rejected_without_another_error(
    body: bytes, headers: dict[str, Any]
) -> None:
    sent = properties({"task": names.INFER_TASK, "id": new_id(), **headers}, reply_to=QUEUE)
    made = request_for(sent, body)
    assert made.exchange in {"", names.REQUESTS}


@pytest.mark.parametrize(
    ("state", "status", "kind"),
    [
        ("failed", "FAILURE", "RequestFailed"),
        ("rejected", "FAILURE", "RequestRejected"),
        ("expired", "FAILURE", "RequestExpired"),
        ("cancelled", "REVOKED", "TaskRevokedError"),
    ],
)
def test_every_failure_is_a_result_that_celery_raises(
    app: Celery, state: Any, status: str, kind: str
) -> None:
    outcome = Outcome(request_id=new_id(), state=state, finished_at=NOW, error_class="c", error="why")
    result = json.loads(result_of(outcome, "q").body)
    assert result["status"] == status
    raised = app.backend.exception_to_python(result["result"])
    assert type(raised).__name__ == kind
    assert str(raised) == "c: why"


def test_the_result_is_the_response_or_its_reference() -> None:
    outcome = Outcome(
        request_id=new_id(), state="succeeded", finished_at=NOW, result=msgspec.Raw(b'{"outputs":[1e2]}')
    )
    arrived = result_for(BasicProperties(correlation_id=QUEUE), msgspec.json.encode(outcome))
    assert arrived.routing_key == QUEUE
    assert b'"result":{"outputs":[1e2]}' in arrived.body
    reference = DataRef(uri="file:///x", size=3, sha256="0" * 64)
    far = Outcome(request_id=new_id(), state="succeeded", finished_at=NOW, result_ref=reference)
    assert json.loads(result_of(far, "q").body)["result"]["result_ref"]["uri"] == "file:///x"


@pytest.mark.parametrize("queue", ["straightline.local", "straightline.outcomes", QUEUE.upper(), "q", "\n"])
def test_a_reply_to_that_is_not_a_result_queue_is_dead_lettered(app: Celery, queue: str) -> None:
    with pytest.raises(UnreadableMessage):
        request_for(*message(app, reply_to=queue))
    outcome = msgspec.json.encode(Outcome(request_id=new_id(), state="failed", finished_at=NOW))
    with pytest.raises(UnreadableMessage):
        result_for(BasicProperties(correlation_id=queue), outcome)
