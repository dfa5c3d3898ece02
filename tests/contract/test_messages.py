"""Every message has a place in the topology, a type, and a body that its reader can decode."""

import ast
from pathlib import Path
from typing import cast

import msgspec
import pytest

from broker_config import topology
from straightline import names
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts import (
    Attempt,
    BreakerState,
    FailedAttempt,
    Feedback,
    Heartbeat,
    Lease,
    LeaseBatch,
    Outcome,
    OutcomeBatch,
    Recall,
    ReplyAddress,
    StatusEvent,
    StatusEvents,
    Ticket,
    decode_request,
)
from straightline.contracts.cancel import Cancel, CancelAnswer
from straightline.contracts.deployed import Deployed
from straightline.contracts.parsing.decoding import decode
from straightline.contracts.request import MAX_BODY_BYTES
from straightline.contracts.ticket import FailedAttempts
from straightline.ids import new_id
from straightline.messages import dead_letters, delays, ledger, requests, results, signals, streams

ROOT = Path(__file__).parents[2]
ID = new_id()
ADDRESS = ReplyAddress(to="straightline.reply.test", correlation_id="c-1")
OUTCOME = Outcome(request_id=ID, state="succeeded", finished_at=2.0, result=msgspec.Raw(b'{"outputs":[]}'))
REQUEST = b'{"id":"%b","model":"m","submitted_at":1.0,"data":{"inputs":[]}}' % ID.encode()
TICKET = Ticket(
    request=msgspec.Raw(REQUEST), digest="d", submitted_at=1.0, received_at=1.0, deadline=9.0, r_d=1
)
ATTEMPT = Attempt(
    number=1,
    backend="local",
    succeeded=False,
    placed_at=1.0,
    started_at=1.0,
    finished_at=2.0,
    error_class="crashed",
)
RECALL = Recall(request_id=ID, digest="d", conflict=False, seen_at=1.0, reply=ADDRESS)
LEASE = Lease(
    task_id=new_id(),
    ids=[ID],
    backend="local",
    model="m",
    version="1",
    class_="interactive",
    attempt=1,
    placed_at=1.0,
    until=9.0,
)
BEAT = Heartbeat(
    backend="local", worker="local@a", slots=4, active=1, healthy=True, sent_at=1.0, interval=1.0
)

QUEUED = {
    "request": (requests.request_message(ID, REQUEST, class_="interactive", reply_to=None), None),
    "batch request": (requests.request_message(ID, REQUEST, class_="batch", reply_to=None), None),
    "cancellation": (requests.cancel_message(ID, new_id()), Cancel),
    "outcomes": (results.outcome_batch([msgspec.json.encode(OUTCOME)] * 2), OutcomeBatch),
    "failed attempts": (
        results.failed_attempts([msgspec.json.encode(FailedAttempt(ticket=TICKET, attempt=ATTEMPT))]),
        FailedAttempts,
    ),
    "recall": (ledger.recall_message(RECALL), Recall),
    "outcome query": (ledger.outcome_query_message(ID, "d", ADDRESS, 1.0), Recall),
    "leases": (ledger.lease_batch([LEASE]), LeaseBatch),
    "cancelled id": (streams.cancelled_message(ID), Cancel),
    "deployed models": (streams.deployed_message(Deployed(revision=1, models={})), Deployed),
    "status events": (
        signals.status_events_message(
            StatusEvents(at=1.0, events=[StatusEvent(id=ID, state="held", at=1.0)])
        ),
        StatusEvents,
    ),
    "delayed ticket": (delays.delayed_message(TICKET, names.DELAYS_MS[0]), Ticket),
    "delayed recall": (delays.delayed_message(RECALL, names.DELAYS_MS[-1]), Recall),
    "reply to a Celery caller": (
        results.reply(OUTCOME, ReplyAddress(to=names.CELERY_REPLY_KEY, correlation_id="c")),
        Outcome,
    ),
    "reply to a webhook": (
        results.reply(OUTCOME, ReplyAddress(to=names.WEBHOOK_REPLY_KEY, correlation_id="c")),
        Outcome,
    ),
    "dead letter": (dead_letters.dead_letter(b"{", "why", queue=names.RETURNS_QUEUE), None),
}
"""Messages that wait in a queue or stream of the topology, and what their body is."""

LOSSY = {
    "heartbeat": (signals.heartbeat_message(BEAT), Heartbeat),
    "feedback": (signals.feedback_message(Feedback(backend="local", worker="a", done=[])), Feedback),
    "breaker": (
        signals.breaker_message(BreakerState(backend="local", model=None, open=True, why="w", at=1.0)),
        BreakerState,
    ),
}
"""Signals: they go to whoever listens now."""

REPLIES = {
    "reply": (results.reply(OUTCOME, ADDRESS), Outcome),
    "encoded reply": (results.encoded_reply(ID, msgspec.json.encode(OUTCOME), ADDRESS), Outcome),
    "cancel answer": (results.cancel_answer(ID, "ended", ADDRESS), CancelAnswer),
}
"""Pushed to a producer that may be gone."""

ALL = QUEUED | LOSSY | REPLIES
TYPES = {value for name, value in vars(names).items() if name.startswith("TYPE_")}


def bindings() -> set[tuple[str, str]]:
    """Return (exchange, routing key) of every queue and stream of the topology."""
    found = {(queue.exchange.name, queue.routing_key) for queue in topology.QUEUES}
    return found | {(exchange, key) for _, exchange, key in topology.BINDINGS}


FANOUTS = {exchange.name for exchange in topology.EXCHANGES if exchange.type == "fanout"}


@pytest.mark.parametrize("name", QUEUED)
def test_a_message_that_must_arrive_has_a_queue(name: str) -> None:
    message, _ = QUEUED[name]
    assert message.exchange in FANOUTS or (message.exchange, message.routing_key) in bindings()


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_body_is_what_its_reader_decodes(name: str) -> None:
    message, kind = ALL[name]
    kind = cast("type[msgspec.Struct] | None", kind)
    if kind is not None:
        assert isinstance(decode(message.body, kind), kind)
    if message.type == names.TYPE_REQUEST:
        assert decode_request(message.body).id == ID


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_type_is_one_of_the_documented_ones(name: str) -> None:
    message, _ = ALL[name]
    assert message.type in TYPES or name == "dead letter"


@pytest.mark.parametrize("name", sorted(QUEUED.keys() - {"status events", "dead letter"}))
def test_a_message_that_must_arrive_is_returned_if_no_queue_takes_it(name: str) -> None:
    message, _ = QUEUED[name]
    reply = message.type == names.TYPE_OUTCOME
    assert message.mandatory is not reply
    assert message.persistent is not reply


@pytest.mark.parametrize("name", sorted(LOSSY))
def test_a_signal_may_be_lost(name: str) -> None:
    message, _ = LOSSY[name]
    assert (message.exchange, message.persistent, message.mandatory) == (names.SIGNALS, False, False)


@pytest.mark.parametrize("name", sorted(REPLIES))
def test_a_reply_names_its_request_and_may_find_nobody(name: str) -> None:
    message, _ = REPLIES[name]
    assert (message.exchange, message.routing_key) == (names.REPLIES, ADDRESS.to)
    assert (message.message_id, message.correlation_id) == (ID, ADDRESS.correlation_id)
    assert (message.persistent, message.mandatory) == (False, False)


def test_every_sender_builds_the_same_reply() -> None:
    assert results.reply(OUTCOME, ADDRESS) == results.encoded_reply(ID, msgspec.json.encode(OUTCOME), ADDRESS)


@pytest.mark.parametrize("reply_to", [None, "straightline.reply.x"])
@pytest.mark.parametrize("correlation_id", [None, "mine"])
def test_a_correlation_id_travels_with_a_reply_address_only(
    reply_to: str | None, correlation_id: str | None
) -> None:
    message = requests.request_message(
        ID, REQUEST, class_="interactive", reply_to=reply_to, correlation_id=correlation_id
    )
    expected = None if reply_to is None else correlation_id or ID
    assert (message.reply_to, message.correlation_id) == (reply_to, expected)


def test_the_answer_to_a_cancellation_is_asked_for_under_the_id_of_its_message() -> None:
    message_id = new_id()
    silent = requests.cancel_message(ID, message_id)
    asked = requests.cancel_message(ID, message_id, reply_to="straightline.reply.x")
    assert (silent.message_id, silent.correlation_id, silent.reply_to) == (message_id, None, None)
    assert (asked.message_id, asked.correlation_id) == (message_id, message_id)


def test_an_outcome_query_is_no_repetition() -> None:
    recall = decode(ledger.outcome_query_message(ID, "d", ADDRESS, 3.0).body, Recall)
    assert (recall.repeated, recall.conflict, recall.seen_at, recall.reply) == (False, False, 3.0, ADDRESS)


def test_each_message_has_an_id_of_its_own_that_tells_copies_from_repetitions() -> None:
    made = [results.outcome_batch([]) for _ in range(3)] + [ledger.recall_message(RECALL) for _ in range(3)]
    assert len({message.message_id for message in made}) == len(made)


@pytest.mark.parametrize("milliseconds", names.DELAYS_MS)
def test_every_delay_has_its_queue(milliseconds: int) -> None:
    message = delays.delayed_message(TICKET, milliseconds)
    (queue,) = [queue for queue in topology.DELAY_QUEUES if queue.routing_key == message.routing_key]
    assert queue.queue_arguments["x-message-ttl"] == milliseconds
    assert queue.queue_arguments["x-dead-letter-exchange"] == names.RETURNS


class TestDeadLetters:
    def test_the_reason_and_the_queue_are_in_the_headers(self) -> None:
        message = dead_letters.dead_letter(
            b"{", "it is cut", queue=names.OUTCOMES_QUEUE, type_=names.TYPE_OUTCOMES, message_id="m"
        )
        assert message.headers == {
            dead_letters.REASON_HEADER: "it is cut",
            dead_letters.QUEUE_HEADER: names.OUTCOMES_QUEUE,
            dead_letters.SIZE_HEADER: 1,
        }
        assert (message.type, message.message_id) == (names.TYPE_OUTCOMES, "m")

    def test_a_body_that_the_broker_would_refuse_is_cut_and_its_size_kept(self) -> None:
        message = dead_letters.dead_letter(b"x" * (MAX_BODY_BYTES + 1), "large", queue="q")
        assert len(message.body) == MAX_BODY_BYTES
        assert (message.headers or {})[dead_letters.SIZE_HEADER] == MAX_BODY_BYTES + 1

    @pytest.mark.parametrize("reason", ["\ud800", "x" * 10_000, "\x00"])
    def test_any_reason_can_be_sent(self, reason: str) -> None:
        message = dead_letters.dead_letter(b"", reason, queue="q")
        written = (message.headers or {})[dead_letters.REASON_HEADER]
        assert len(written.encode()) <= 4 * dead_letters.MAX_REASON_CHARS

    @pytest.mark.parametrize("message_id", [None, ""])
    def test_a_message_without_an_id_gets_none(self, message_id: str | None) -> None:
        assert dead_letters.dead_letter(b"", "why", queue="q", message_id=message_id).message_id is None


PACKAGES = ("straightline", "scheduler", "workers", "outcomes", "gateway", "modelkit")
FACTORY = "straightline/messages"
ELSEWHERE = {
    "gateway/celery_adapter/results.py": "results in Celery's own format",
    "outcomes/resolutions/recorder_dead_letters.py": "the same message once more, with its own body",
    "straightline/amqp/publishing/outgoing.py": "the type itself",
}


def builders() -> dict[str, list[int]]:
    """Return the lines outside the factory that build a message, by file."""
    found: dict[str, list[int]] = {}
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            path = file.relative_to(ROOT).as_posix()
            if path.startswith(FACTORY) or path in ELSEWHERE:
                continue
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", None) == Outgoing.__name__:
                    found.setdefault(path, []).append(node.lineno)
    return found


def test_nothing_builds_a_message_outside_the_factory() -> None:
    assert builders() == {}


def test_routing_keys_are_names() -> None:
    """A key that is written out could drift from its binding."""
    written = [
        (file.name, node.lineno)
        for file in sorted((ROOT / FACTORY).glob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.keyword)
        and node.arg == "routing_key"
        and isinstance(node.value, ast.Constant)
    ]
    assert written == []
