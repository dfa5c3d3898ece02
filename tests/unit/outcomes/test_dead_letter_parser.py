import json
from typing import Any

import msgspec
import pika
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcomes.messaging.delivery import Delivery
from outcomes.resolutions.dead_letter_cause import DeadLetterCause, cause_of
from outcomes.resolutions.dead_letter_parser import DeadLetterActions, analyze
from outcomes.resolutions.recorder_dead_letters import RESEND_COUNT_HEADER
from outcomes.rows.decoding import decode_deliveries
from straightline import names
from straightline.contracts import Attempt, FailedAttempt, FailedAttempts, Outcome, ReplyAddress, Ticket
from straightline.contracts.faults import NOT_EXECUTED
from straightline.ids import new_id
from tests.builders import NOW, make_attempt, make_body, make_ticket

LOCAL = names.backend_queue("local")
REPLY = ReplyAddress(to="straightline.reply.x", correlation_id="c-9")


def _body(request_id: str, **changes: Any) -> bytes:
    return make_body(id=request_id, **{"submitted_at": NOW - 5, **changes})


def _ticket(request_id: str, **changes: Any) -> Ticket:
    facts: dict[str, Any] = {
        "submitted_at": NOW - 5,
        "received_at": NOW - 4,
        "reply": REPLY,
        "version": "2",
        "backend": "local",
        "placed_at": NOW - 3,
    }
    return make_ticket(_body(request_id, batch_id="job"), **{**facts, **changes})


def _placement(*tickets: bytes, tail: bytes = b', {}, {"chord": null}]') -> bytes:
    return b"[[[" + b",".join(tickets) + b"]]" + tail


def _dead(
    body: bytes,
    queue: str = LOCAL,
    reason: str = "delivery_limit",
    *,
    kind: str | None = None,
    headers: dict[str, Any] | None = None,
    **properties: Any,
) -> tuple[Delivery, DeadLetterCause]:
    died = {
        "x-death": [{"queue": queue, "reason": reason, "count": 1}, {"queue": "older", "reason": "expired"}]
    }
    made = pika.BasicProperties(type=kind, headers={**died, **(headers or {})}, **properties)
    return Delivery(1, 1, kind, body, made), cause_of(made.headers)


def _analyze(*arguments: Any, **more: Any) -> DeadLetterActions:
    return analyze(*_dead(*arguments, **more), NOW)


def _attempt() -> Attempt:
    return make_attempt(backend="serverless", error_class="crashed")


def test_the_latest_death_is_the_cause() -> None:
    _, death = _dead(b"", "here", "rejected")
    assert death == DeadLetterCause("here", "rejected")


def test_without_x_death_the_headers_of_the_component_give_the_cause() -> None:
    headers = {"x-straightline-queue": "there", "x-straightline-reason": "not a ticket"}
    assert cause_of(headers) == DeadLetterCause("there", "refused", "not a ticket")


@pytest.mark.parametrize("headers", [None, {}, {"x-death": "?"}, {"x-death": []}, {"x-death": [7]}])
def test_headers_without_a_cause_are_accepted(headers: Any) -> None:
    assert cause_of(headers) == DeadLetterCause(None, "refused")


def test_every_request_of_a_placement_at_the_delivery_limit_fails_with_its_reply_address() -> None:
    ids = [new_id(), new_id()]
    earlier = _ticket(ids[0], attempts=[_attempt()])
    actions = _analyze(_placement(msgspec.json.encode(earlier), msgspec.json.encode(_ticket(ids[1]))))
    (first, reply), (second, _) = actions.outcomes
    assert [first.request_id, second.request_id] == ids
    assert (first.state, first.error_class, first.backend) == ("failed", "delivery_limit", "local")
    assert (first.version, first.batch_id, first.digest, first.received_at) == ("2", "job", "d", NOW - 4)
    assert [(attempt.number, attempt.backend) for attempt in first.attempts] == [
        (1, "serverless"),
        (2, "local"),
    ]
    assert first.attempts[1].placed_at == NOW - 3
    assert reply == REPLY


@pytest.mark.parametrize(
    "body",
    [
        lambda ticket: _placement(ticket, tail=b"]"),
        lambda ticket: _placement(ticket, tail=b', {}, {}, "more"]'),
        lambda ticket: _placement(b"7", ticket, b'{"request": null}'),
        lambda ticket: _placement(ticket.replace(b'"r_d":13', b'"r_d":"many"')),
    ],
)
def test_a_malformed_placement_is_rejected_for_every_id_in_it(body: Any) -> None:
    request_id = new_id()
    actions = _analyze(body(msgspec.json.encode(_ticket(request_id))), reason="rejected")
    ((outcome, reply),) = actions.outcomes
    assert (outcome.request_id, outcome.state, outcome.error_class) == (request_id, "rejected", "malformed")
    assert (outcome.backend, reply) == ("local", REPLY)


def test_a_request_at_the_delivery_limit_fails_and_keeps_the_reply_address_of_its_message() -> None:
    request_id = new_id()
    actions = _analyze(
        _body(request_id), names.INTERACTIVE_QUEUE, kind=names.TYPE_REQUEST, reply_to="r", correlation_id="c"
    )
    ((outcome, reply),) = actions.outcomes
    assert (outcome.request_id, outcome.error_class, outcome.model) == (
        request_id,
        "delivery_limit",
        "digits",
    )
    assert reply == ReplyAddress(to="r", correlation_id="c")


def test_an_unreadable_request_is_identified_by_its_message_id() -> None:
    request_id = new_id()
    ((outcome, _),) = _analyze(b"{", names.BATCH_QUEUE, message_id=request_id).outcomes
    assert outcome.request_id == request_id
    assert _analyze(b"{", names.BATCH_QUEUE).outcomes == []


def test_dead_failed_attempts_end_with_their_attempt() -> None:
    request_id = new_id()
    failed = FailedAttempts(failed=[FailedAttempt(ticket=_ticket(request_id), attempt=_attempt())])
    for body in (msgspec.json.encode(failed), msgspec.json.encode(failed.failed[0])):
        ((outcome, reply),) = _analyze(body, names.ATTEMPTS_QUEUE, kind=names.TYPE_ATTEMPTS).outcomes
        assert (outcome.request_id, reply) == (request_id, REPLY)
    assert _analyze(msgspec.json.encode(failed), names.ATTEMPTS_QUEUE).outcomes[0][0].attempts == [_attempt()]


def test_a_dead_ticket_ends_and_a_dead_recall_does_not() -> None:
    request_id = new_id()
    body = msgspec.json.encode(_ticket(request_id))
    ((outcome, _),) = _analyze(body, names.RETURNS_QUEUE, kind=names.TYPE_TICKET).outcomes
    assert (outcome.request_id, outcome.attempts) == (request_id, [])
    assert _analyze(body, names.RETURNS_QUEUE, kind=names.TYPE_RECALL) == DeadLetterActions()


def test_a_celery_task_is_answered_through_the_adapter() -> None:
    request_id = new_id()
    ((outcome, reply),) = _analyze(
        b"[]", names.CELERY_QUEUE, "rejected", headers={"id": request_id}, reply_to="their-queue"
    ).outcomes
    assert (outcome.request_id, outcome.state) == (request_id, "rejected")
    assert reply == ReplyAddress(to=names.CELERY_REPLY_KEY, correlation_id="their-queue")


def test_a_cancel_message_is_not_a_request() -> None:
    assert _analyze(json.dumps({"id": new_id()}).encode(), names.CANCELS_QUEUE) == DeadLetterActions()


def _batch(*ids: str) -> bytes:
    items = [{"request_id": name, "state": "succeeded", "finished_at": NOW} for name in ids]
    return json.dumps({"outcomes": items}).encode()


def test_outcomes_at_the_delivery_limit_are_resent_one_by_one() -> None:
    ids = [new_id(), new_id()]
    actions = _analyze(_batch(*ids), names.OUTCOMES_QUEUE, kind=names.TYPE_OUTCOMES)
    assert actions.outcomes == []
    read_again = decode_deliveries([Delivery(1, 1, sent.type, sent.body) for sent in actions.resend], NOW)
    assert [entry.request_id for entry in read_again.entries] == ids
    assert {(sent.exchange, sent.routing_key) for sent in actions.resend} == {(names.OUTCOMES, "outcome")}


@pytest.mark.parametrize(("kind", "key"), [(names.TYPE_RECALL, "recall"), (names.TYPE_LEASES, "placement")])
def test_recalls_and_leases_are_resent_unchanged(kind: str, key: str) -> None:
    (sent,) = _analyze(b"{}", names.OUTCOMES_QUEUE, kind=kind).resend
    assert (sent.routing_key, sent.type, sent.body) == (key, kind, b"{}")


def test_messages_that_the_recorder_refused_are_not_resent() -> None:
    assert _analyze(b"{}", names.OUTCOMES_QUEUE, "rejected", kind=names.TYPE_RECALL) == DeadLetterActions()


def _burial(outcome: Outcome) -> DeadLetterActions:
    headers = {"x-straightline-queue": names.OUTCOMES_QUEUE, "x-straightline-reason": "check constraint"}
    properties = pika.BasicProperties(headers=headers)
    body = msgspec.json.encode(outcome)
    return analyze(Delivery(1, 1, names.TYPE_OUTCOME, body, properties), cause_of(headers), NOW)


def test_a_refused_outcome_is_reduced_to_an_unrecordable_one_and_then_dropped() -> None:
    refused = Outcome(request_id=new_id(), state="succeeded", finished_at=NOW, model="cursed")
    ((short, _),) = _burial(refused).outcomes
    assert (short.request_id, short.state, short.error_class) == (
        refused.request_id,
        "failed",
        "unrecordable",
    )
    assert short.model is None
    assert "check constraint" in (short.error or "")
    assert _burial(short) == DeadLetterActions()
    assert _burial(Outcome(request_id="seven", state="failed", finished_at=NOW)) == DeadLetterActions()


def test_resends_are_limited() -> None:
    """Dead-letter every resent message again until nothing is resent."""
    message, turns = _analyze(_batch(new_id()), names.OUTCOMES_QUEUE, kind=names.TYPE_OUTCOMES), 0
    while message != DeadLetterActions():
        turns += 1
        assert turns < 10
        if message.resend:
            (sent,) = message.resend
            message = _analyze(sent.body, names.OUTCOMES_QUEUE, kind=sent.type, headers=sent.headers)
        else:
            ((outcome, _),) = message.outcomes
            body = b'{"outcomes":[' + msgspec.json.encode(outcome) + b"]}"
            message = _analyze(body, names.OUTCOMES_QUEUE, kind=names.TYPE_OUTCOMES)
    assert turns == 5


QUEUES = [None, "?", *names.REQUEST_QUEUES, names.CELERY_QUEUE, names.RETURNS_QUEUE, names.ATTEMPTS_QUEUE]
QUEUES += [names.OUTCOMES_QUEUE, LOCAL]
KINDS = [
    None,
    names.TYPE_OUTCOMES,
    names.TYPE_OUTCOME,
    names.TYPE_RECALL,
    names.TYPE_LEASES,
    names.TYPE_TICKET,
]
JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "request", "outcomes", "failed", "ticket", "reply"]), inner)
    ),
)


@given(
    body=st.binary(max_size=50) | JSON.map(lambda value: json.dumps(value).encode()),
    queue=st.sampled_from(QUEUES),
    kind=st.sampled_from(KINDS),
    reason=st.sampled_from(["rejected", "delivery_limit", "maxlen"]),
    again=st.none() | st.integers(0, 9) | st.text(),
)
def test_any_dead_letter_can_be_analyzed(
    body: bytes, queue: str | None, kind: str | None, reason: str, again: Any
) -> None:
    delivery, _ = _dead(body, "x", kind=kind, headers={RESEND_COUNT_HEADER: again})
    actions = analyze(delivery, DeadLetterCause(queue, reason), NOW)
    assert all(outcome.error_class in NOT_EXECUTED for outcome, _ in actions.outcomes)


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"request":' * 50_000, b"\xff" * 100, b"[[[" + b"[" * 9_999]
)
@pytest.mark.parametrize("queue", QUEUES)
def test_deeply_nested_dead_letters_can_be_analyzed(body: bytes, queue: str | None) -> None:
    delivery, _ = _dead(body, "x", kind=names.TYPE_OUTCOMES)
    assert analyze(delivery, DeadLetterCause(queue, "rejected"), NOW).outcomes == []
