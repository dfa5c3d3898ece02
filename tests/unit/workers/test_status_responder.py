"""A pool says of a request that it has in work that it runs, and of others nothing."""

import logging
from collections.abc import Callable
from concurrent.futures import Future

import msgspec
import pytest

from straightline import names
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts import Attempt, Reason, StatusQuery, StatusReply
from straightline.ids import new_id
from tests.unit.workers.conftest import NOW
from workers.coordination.cancellation import CancellationTracker
from workers.coordination.status_responder import StatusResponder
from workers.domain.outcomes import PRICES, PoolIdentity
from workers.domain.placements import Work

Make = Callable[..., Work]
REPLY_TO = "straightline.reply.asks"


class Sender:
    def __init__(self) -> None:
        self.sent: list[Outgoing] = []

    def publish(self, message: Outgoing) -> Future[None]:
        self.sent.append(message)
        return Future()


@pytest.fixture
def sender() -> Sender:
    return Sender()


@pytest.fixture
def cancellations() -> CancellationTracker:
    cancellations = CancellationTracker(lambda: NOW + 2)
    cancellations.on_cancel_running(lambda *_: None)
    return cancellations


@pytest.fixture
def responder(sender: Sender, cancellations: CancellationTracker) -> StatusResponder:
    return StatusResponder(
        sender, PoolIdentity(backend="local", worker="local@a", price=PRICES["local"]), cancellations
    )


def question(request_id: str) -> bytes:
    return msgspec.json.encode(StatusQuery(id=request_id, reply_to=REPLY_TO, correlation_id="q-1"))


def test_what_is_in_work_runs_and_the_answer_says_where_and_since_when(
    responder: StatusResponder, sender: Sender, cancellations: CancellationTracker, make_work: Make
) -> None:
    failed = Attempt(
        number=1, backend="serverless", succeeded=False, placed_at=NOW, started_at=NOW, finished_at=NOW
    )
    reason = Reason(policy="empirical", rule=3, f_t=1, F=50, r_d=1, D=9, s_f=True, s_d=False)
    work = make_work(attempts=[failed])
    work.ticket.reason = reason
    cancellations.started([make_work(), work])
    responder.on_query(question(work.request.id.upper()))
    (message,) = sender.sent
    assert (message.exchange, message.routing_key, message.correlation_id) == (names.REPLIES, REPLY_TO, "q-1")
    assert (message.type, message.persistent, message.mandatory) == (names.TYPE_WHEREABOUTS, False, False)
    assert msgspec.json.decode(message.body, type=StatusReply) == StatusReply(
        id=work.request.id,
        state="running",
        model="double",
        backend="local",
        worker="local@a",
        class_="interactive",
        attempts=2,
        failed=[failed],
        reason=reason,
        placed_at=NOW,
        started_at=NOW + 2,
        deadline=NOW + 60,
    )


def test_what_has_a_verdict_was_cancelled_or_never_came_is_not_told_of(
    responder: StatusResponder, sender: Sender, cancellations: CancellationTracker, make_work: Make
) -> None:
    done, cancelled = make_work(), make_work()
    cancellations.started([done, cancelled])
    cancellations.finished(done)
    cancellations.cancel(cancelled.request.id)
    for request_id in (done.request.id, cancelled.request.id, new_id()):
        responder.on_query(question(request_id))
    assert sender.sent == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"\xff",
        b"[" * 9_999,
        b'{"id": "moon"}',
        question("moon"),
        question(new_id()) + b" " * 1_024,
    ],
)
def test_what_is_no_question_is_passed_over_with_a_line(
    responder: StatusResponder, sender: Sender, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    responder.on_query(body)
    assert sender.sent == []
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
