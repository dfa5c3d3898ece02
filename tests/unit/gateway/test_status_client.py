"""Who asks where a request is hears the most advanced answer, soon; a broker that is away fails nobody."""

import threading
import time
from typing import Any

import msgspec
import pytest

from gateway.http.requests import status_client
from gateway.http.requests.broker_client import BrokerClient
from gateway.http.requests.status_client import PendingQueries, PendingQuery, status_query_message
from gateway.http.requests.status_merge import told
from straightline import names
from straightline.contracts import RequestStatus, StatusQuery, StatusReply
from straightline.contracts.status_query import decode_status_query
from straightline.ids import new_id

ID = new_id()
NOTHING = StatusReply(id=ID)
ACCEPTED = StatusReply(id=ID, state="accepted")
PLACED = StatusReply(id=ID, state="placed", backend="local")
HELD = StatusReply(id=ID, state="held", held_reason="no pool reports")
RUNNING = StatusReply(id=ID, state="running", backend="local", worker="local@a", started_at=3.0)
LONG = 3_600.0


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for more than the answers at hand waits for ever."""
    monkeypatch.setattr(status_client, "ANSWER_TIMEOUT_S", LONG)
    monkeypatch.setattr(status_client, "BETTER_ANSWER_WAIT_S", LONG)


@pytest.mark.parametrize(
    ("answers", "wanted"),
    [
        ([], None),
        ([NOTHING], NOTHING),
        ([NOTHING, ACCEPTED], ACCEPTED),
        ([PLACED, NOTHING], PLACED),
        ([PLACED, ACCEPTED], PLACED),
        ([PLACED, RUNNING], RUNNING),
        ([NOTHING, RUNNING], RUNNING),
        ([RUNNING, PLACED], RUNNING),
        ([RUNNING, HELD], RUNNING),
        ([PLACED, HELD], PLACED),  # of two alike the first
    ],
)
@pytest.mark.usefixtures("patient")
def test_the_most_advanced_answer_is_taken(answers: list[StatusReply], wanted: StatusReply | None) -> None:
    inquiry = PendingQuery("a")
    for answer in answers:
        inquiry.hear(answer)
    inquiry.give_up(status_client.AWAY)
    assert inquiry.answer() == wanted


@pytest.mark.parametrize("last", [HELD, RUNNING])
@pytest.mark.usefixtures("patient")
def test_after_what_cannot_be_outdone_nobody_waits(last: StatusReply) -> None:
    inquiry = PendingQuery("a")
    inquiry.hear(last)
    assert inquiry.answer() == last


@pytest.mark.usefixtures("patient")
def test_an_answer_that_comes_later_wakes_who_waits() -> None:
    inquiry = PendingQuery("a")
    inquiry.hear(PLACED)
    late = threading.Timer(0.05, inquiry.hear, (RUNNING,))
    late.start()
    assert inquiry.answer() == RUNNING


def test_silence_is_waited_for_no_longer_than_is_bearable() -> None:
    began = time.monotonic()
    silent = PendingQuery("a")
    assert silent.answer() is None
    silent.give_up(status_client.AWAY)  # too late: it was listened to
    assert silent.why_silent == status_client.SILENT
    outdone = PendingQuery("b")
    outdone.hear(PLACED)
    assert outdone.answer() == PLACED
    assert time.monotonic() - began < 5 * (
        status_client.ANSWER_TIMEOUT_S + status_client.BETTER_ANSWER_WAIT_S
    )


@pytest.mark.usefixtures("patient")
def test_answers_find_their_question_and_what_is_none_is_passed_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    inquiries = PendingQueries()
    mine, other = inquiries.open(), inquiries.open()
    for body in (b"", b"[]", b"\xff", b'{"id": 7}', b'{"id": "a", "state": "lost"}'):
        assert inquiries.hear(mine.token, body)
    assert caplog.text.count("cannot be read") == 5
    assert not inquiries.hear("unknown", msgspec.json.encode(HELD))
    assert inquiries.hear(mine.token, msgspec.json.encode(RUNNING))
    assert inquiries.hear(other.token, msgspec.json.encode(HELD))
    assert (mine.answer(), other.answer()) == (RUNNING, HELD)
    inquiries.close(mine)
    assert not inquiries.hear(mine.token, msgspec.json.encode(RUNNING))


@pytest.mark.usefixtures("patient")
def test_too_many_questions_at_once_are_not_asked() -> None:
    inquiries = PendingQueries(max_queries=1)
    first = inquiries.open()
    assert not first.over
    many = inquiries.open()
    assert many.over
    assert many.why_silent == status_client.CROWDED
    assert many.answer() is None
    inquiries.close(many)
    inquiries.close(first)
    assert not inquiries.open().over


def test_what_is_asked_can_be_read_and_comes_back_where_nobody_listens() -> None:
    token = new_id()
    message = status_query_message(ID, token, names.REPLY_QUEUE_PREFIX + "0a")
    assert (message.exchange, message.routing_key) == (names.QUESTIONS, names.QUESTION_KEY)
    assert (message.mandatory, message.persistent) == (True, False)
    asked = StatusQuery(id=ID, reply_to="straightline.reply.0a", correlation_id=token)
    assert decode_status_query(message.body) == asked


@pytest.mark.usefixtures("patient")
def test_a_broker_that_is_away_keeps_nobody_waiting() -> None:
    exchange = BrokerClient("amqp://127.0.0.1:1/", max_pending=1)
    try:
        with exchange.status_query(ID) as inquiry:
            assert inquiry.answer() is None
            assert inquiry.why_silent == status_client.AWAY
    finally:
        exchange.close()


@pytest.mark.usefixtures("patient")
def test_what_the_broker_would_not_take_now_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be waited for in vain, and asked later, when nobody listens to the answer."""
    exchange = BrokerClient("amqp://127.0.0.1:1/", max_pending=1)
    monkeypatch.setattr(type(exchange._inbox), "ready", property(lambda _: True))
    try:
        with exchange.status_query(ID) as inquiry:
            assert inquiry.over
    finally:
        exchange.close()


@pytest.mark.parametrize(
    ("heard", "wanted"),
    [
        (None, {"state": "placed", "backend": "serverless", "attempts": 1, "placed_at": 2.0}),
        (NOTHING, {"state": "placed", "backend": "serverless", "attempts": 1}),
        (ACCEPTED, {"state": "placed", "backend": "serverless", "attempts": 1}),
        (PLACED, {"state": "placed", "backend": "local"}),
        (HELD, {"state": "held", "held_reason": "no pool reports", "backend": "serverless", "attempts": 1}),
        (RUNNING, {"state": "running", "backend": "local", "worker": "local@a", "started_at": 3.0}),
    ],
)
def test_what_was_heard_goes_before_what_the_ledger_has(
    heard: StatusReply | None, wanted: dict[str, Any]
) -> None:
    ledger = RequestStatus(id=ID, state="placed", backend="serverless", attempts=1, placed_at=2.0, model="m")
    status = told(ledger, heard)
    assert status is not None
    assert {name: getattr(status, name) for name in wanted} == wanted
    assert (status.id, status.model) == (ID, "m")


def test_of_what_nobody_knows_nothing_is_told() -> None:
    assert told(None, None) is None
    assert told(None, NOTHING) is None
    assert told(None, ACCEPTED) == RequestStatus(id=ID, state="accepted")
