"""A pool says of a request that it has in work that it runs, and of others nothing."""

import logging
from collections.abc import Callable
from concurrent.futures import Future

import msgspec
import pytest

from straightline import names
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts import Attempt, Question, Reason, Whereabouts
from straightline.ids import new_id
from tests.unit.workers.conftest import NOW
from workers.coordination.cancellation import TakenBack
from workers.coordination.status_responder import Guide
from workers.execution.placements import Work
from workers.execution.result import PRICES, Place

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
def taken_back() -> TakenBack:
    taken_back = TakenBack(lambda: NOW + 2)
    taken_back.when_in_work(lambda *_: None)
    return taken_back


@pytest.fixture
def guide(sender: Sender, taken_back: TakenBack) -> Guide:
    return Guide(sender, Place(backend="local", worker="local@a", price=PRICES["local"]), taken_back)


def question(request_id: str) -> bytes:
    return msgspec.json.encode(Question(id=request_id, reply_to=REPLY_TO, correlation_id="q-1"))


def test_what_is_in_work_runs_and_the_answer_says_where_and_since_when(
    guide: Guide, sender: Sender, taken_back: TakenBack, make_work: Make
) -> None:
    failed = Attempt(
        number=1, backend="serverless", succeeded=False, placed_at=NOW, started_at=NOW, finished_at=NOW
    )
    reason = Reason(policy="empirical", rule=3, f_t=1, F=50, r_d=1, D=9, s_f=True, s_d=False)
    work = make_work(attempts=[failed])
    work.ticket.reason = reason
    taken_back.begin([make_work(), work])
    guide.tell(question(work.request.id.upper()))
    (message,) = sender.sent
    assert (message.exchange, message.routing_key, message.correlation_id) == (names.REPLIES, REPLY_TO, "q-1")
    assert (message.type, message.persistent, message.mandatory) == (names.TYPE_WHEREABOUTS, False, False)
    assert msgspec.json.decode(message.body, type=Whereabouts) == Whereabouts(
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
    guide: Guide, sender: Sender, taken_back: TakenBack, make_work: Make
) -> None:
    done, cancelled = make_work(), make_work()
    taken_back.begin([done, cancelled])
    taken_back.end(done)
    taken_back.cancel(cancelled.request.id)
    for request_id in (done.request.id, cancelled.request.id, new_id()):
        guide.tell(question(request_id))
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
    guide: Guide, sender: Sender, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    guide.tell(body)
    assert sender.sent == []
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
