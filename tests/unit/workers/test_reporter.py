"""A placement is done when the broker has all of its report, and not before."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from straightline import names
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts import FailedAttempts, Outcome, OutcomeBatch, Recall, ReplyAddress
from straightline.errors import BrokerUnavailable, Rejected
from workers.domain.outcomes import PRICES, PoolIdentity
from workers.domain.placements import Work
from workers.domain.result import ExecutionResult
from workers.reporting import messages
from workers.reporting import reporter as reporter_module
from workers.reporting.reporter import Reporter, ReportNotConfirmed

POOL = PoolIdentity(backend="local", worker="local@test", price=PRICES["local"])


class Sender:
    """Keeps what it is given; `errors` are raised first, one for each message.

    What goes to the key `refuses` is refused; a `silent` one answers nothing.
    """

    def __init__(self, *errors: Exception, refuses: str | None = None, silent: bool = False) -> None:
        self.errors = list(errors)
        self.refuses = refuses
        self.silent = silent
        self.sent: list[Outgoing] = []

    def publish(self, message: Outgoing) -> Future[None]:
        future: Future[None] = Future()
        if self.silent:
            return future
        if message.routing_key == self.refuses:
            future.set_exception(Rejected("full"))
        elif self.errors:
            future.set_exception(self.errors.pop(0))
        else:
            self.sent.append(message)
            future.set_result(None)
        return future

    def of(self, type_: str) -> list[Outgoing]:
        return [message for message in self.sent if message.type == type_]


def reporter(sender: Sender, *, stopping: bool = False) -> Reporter:
    event = threading.Event()
    if stopping:
        event.set()
    return Reporter(sender, POOL, event, lambda: 5.0)


def result(kind: Any = "succeeded", **fields: Any) -> ExecutionResult:
    return ExecutionResult(kind=kind, started_at=1.0, finished_at=2.0, **fields)


def test_outcomes_are_batched_and_replies_are_sent_one_by_one(make_work: Callable[..., Work]) -> None:
    sender = Sender()
    work = [make_work() for _ in range(3)]
    work[1].ticket.reply = ReplyAddress(to="client", correlation_id="7")
    reporter(sender).report([(item, result(result=msgspec.Raw(b"{}"))) for item in work])
    (batch,) = sender.of(names.TYPE_OUTCOMES)
    assert (batch.exchange, batch.routing_key, batch.mandatory) == (names.OUTCOMES, "outcome", True)
    outcomes = msgspec.json.decode(batch.body, type=OutcomeBatch).outcomes
    assert [outcome.request_id for outcome in outcomes] == [item.request.id for item in work]
    (reply,) = sender.of(names.TYPE_OUTCOME)
    assert (reply.exchange, reply.routing_key, reply.correlation_id) == (names.REPLIES, "client", "7")
    assert not reply.mandatory
    assert msgspec.json.decode(reply.body, type=Outcome) == outcomes[1]
    assert len(sender.of(names.TYPE_FEEDBACK)) == 1


def test_missing_data_is_answered_with_the_recorded_outcome(make_work: Callable[..., Work]) -> None:
    """A second execution finds nothing, since the producer removed its data when the first was answered."""
    sender = Sender()
    work = make_work()
    work.ticket.reply = ReplyAddress(to="client", correlation_id="7")
    reporter(sender).report([(work, result("failed", error_class="missing_data", error="there is nothing"))])
    assert sender.of(names.TYPE_OUTCOME) == []
    outcomes, recalled = sender.sent[:2]
    assert (outcomes.type, recalled.type) == (names.TYPE_OUTCOMES, names.TYPE_RECALL)
    assert (recalled.exchange, recalled.routing_key, recalled.mandatory) == (names.OUTCOMES, "recall", True)
    recall = msgspec.json.decode(recalled.body, type=Recall)
    assert (recall.request_id, recall.reply, recall.repeated) == (work.request.id, work.ticket.reply, False)


def test_faults_go_back_with_their_unchanged_ticket(make_work: Callable[..., Work]) -> None:
    sender = Sender()
    work = make_work()
    reporter(sender).report([(work, result("fault", error_class="crashed", error="it died"))])
    (message,) = sender.of(names.TYPE_ATTEMPTS)
    (failed,) = msgspec.json.decode(message.body, type=FailedAttempts).failed
    assert failed.ticket == work.ticket
    assert (failed.attempt.succeeded, failed.attempt.error_class) == (False, "crashed")
    assert sender.of(names.TYPE_OUTCOMES) == []


def test_refused_messages_are_sent_again(
    make_work: Callable[..., Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter_module, "RETRY_DELAYS_S", (0.0, 0.0))
    sender = Sender(Rejected("full"), Rejected("full"))
    reporter(sender).report([(make_work(), result())])
    assert len(sender.of(names.TYPE_OUTCOMES)) == 1


def test_a_report_without_a_confirm_fails(make_work: Callable[..., Work]) -> None:
    with pytest.raises(ReportNotConfirmed):
        reporter(Sender(BrokerUnavailable("gone"))).report([(make_work(), result())])


def test_a_pool_that_stops_does_not_wait_for_a_full_queue(make_work: Callable[..., Work]) -> None:
    with pytest.raises(ReportNotConfirmed):
        reporter(Sender(Rejected("full")), stopping=True).report([(make_work(), result())])


def test_a_report_that_is_too_large_for_one_message_is_split(
    make_work: Callable[..., Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "MAX_BATCH_BYTES", 1000)
    sender = Sender()
    reporter(sender).report([(make_work(), result()) for _ in range(10)])
    batches = sender.of(names.TYPE_OUTCOMES)
    assert len(batches) > 1
    assert sum(len(msgspec.json.decode(batch.body, type=OutcomeBatch).outcomes) for batch in batches) == 10


def test_every_report_has_its_own_message_id_by_which_copies_are_detected(
    make_work: Callable[..., Work],
) -> None:
    sender = Sender()
    reporter(sender).report([(make_work(), result()), (make_work(), result("fault", error_class="crashed"))])
    ids = [message.message_id for message in sender.sent if message.exchange == names.OUTCOMES]
    assert len(ids) == len(set(ids)) == 2
    assert None not in ids


def test_an_early_end_is_reported_once_and_its_slot_is_freed_with_the_call(
    make_work: Callable[..., Work],
) -> None:
    sender = Sender()
    work = make_work()
    work.ticket.reply = ReplyAddress(to="client", correlation_id="7")
    reports = reporter(sender)
    reports.report_cancelled(work, 4.0)
    assert [message.routing_key for message in sender.sent] == ["outcome", "client"]
    (outcome,) = msgspec.json.decode(sender.sent[0].body, type=OutcomeBatch).outcomes
    assert (outcome.state, outcome.error_class) == ("cancelled", "cancelled")
    reports.report([(work, result("cancelled"))])
    assert [message.routing_key for message in sender.sent[2:]] == ["feedback"]


def test_an_unconfirmed_early_end_is_reported_with_the_rest(
    make_work: Callable[..., Work],
) -> None:
    sender = Sender(BrokerUnavailable("gone"))
    work = make_work()
    reports = reporter(sender)
    reports.report_cancelled(work, 4.0)
    reports.report([(work, result("cancelled"))])
    assert [message.routing_key for message in sender.sent] == ["outcome", "feedback"]


def test_a_refused_reply_does_not_fail_the_report(make_work: Callable[..., Work]) -> None:
    """The producer's queue is full or wrongly made: asking the model again would not mend that."""
    work = make_work()
    work.ticket.reply = ReplyAddress(to="full", correlation_id="7")
    sender = Sender(refuses="full")
    reporter(sender, stopping=True).report([(work, result())])  # one that would try again raises
    assert len(sender.of(names.TYPE_OUTCOMES)) == 1
    assert len(sender.of(names.TYPE_FEEDBACK)) == 1


def test_a_report_waits_for_a_blocked_broker_until_the_pool_stops(
    make_work: Callable[..., Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it was sent it has: working the placement again would only double it."""
    monkeypatch.setattr(reporter_module, "CONFIRM_POLL_INTERVAL_S", 0.01)
    monkeypatch.setattr(reporter_module, "SHUTDOWN_CONFIRM_TIMEOUT_S", 0.05)
    sender = Sender(silent=True)
    stopping = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(Reporter(sender, POOL, stopping, lambda: 5.0).report, [(make_work(), result())])
        with pytest.raises(TimeoutError):
            running.result(0.2)
        stopping.set()
        with pytest.raises(ReportNotConfirmed):
            running.result(5)
