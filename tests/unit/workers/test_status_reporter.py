"""A pool reports the requests that it runs for a while."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

import msgspec
import pytest

from straightline import names
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts import Attempt, Reason, StatusEvent, StatusEvents
from straightline.contracts.status_events import MAX_EVENTS
from tests.unit.workers.conftest import NOW
from workers.coordination import status_reporter
from workers.coordination.cancellation import CancellationTracker
from workers.coordination.status_reporter import REPORT_INTERVAL_S, StatusReporter
from workers.domain.outcomes import PRICES, PoolIdentity
from workers.domain.placements import Work

Make = Callable[..., Work]


class Sender:
    def __init__(self) -> None:
        self.sent: list[Outgoing] = []

    def publish(self, message: Outgoing) -> Future[None]:
        self.sent.append(message)
        return Future()


@pytest.fixture
def sender() -> Sender:
    return Sender()


class Clock:
    def __init__(self) -> None:
        self.now = NOW + 2

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cancellations(clock: Clock) -> CancellationTracker:
    cancellations = CancellationTracker(clock)
    cancellations.on_cancel_running(lambda *_: None)
    return cancellations


@pytest.fixture
def reporter(sender: Sender, cancellations: CancellationTracker, clock: Clock) -> StatusReporter:
    pool = PoolIdentity(backend="local", worker="local@a", price=PRICES["local"])
    return StatusReporter(sender, pool, cancellations, clock)


def events(message: Outgoing) -> list[StatusEvent]:
    return msgspec.json.decode(message.body, type=StatusEvents).events


def test_a_request_that_runs_for_a_while_is_reported_with_its_worker_and_start(
    reporter: StatusReporter,
    sender: Sender,
    cancellations: CancellationTracker,
    clock: Clock,
    make_work: Make,
) -> None:
    failed = Attempt(
        number=1, backend="serverless", succeeded=False, placed_at=NOW, started_at=NOW, finished_at=NOW
    )
    reason = Reason(policy="empirical", rule=3, f_t=1, F=50, r_d=1, D=9, s_f=True, s_d=False)
    work = make_work(attempts=[failed])
    work.ticket.reason = reason
    cancellations.started([work])
    reporter.report()
    assert sender.sent == []
    clock.now += REPORT_INTERVAL_S
    cancellations.started([make_work()])
    reporter.report()
    (message,) = sender.sent
    assert (message.exchange, message.routing_key) == (names.STATUS, names.STATUS_KEY)
    assert (message.type, message.persistent, message.mandatory) == (names.TYPE_STATUS, False, False)
    assert events(message) == [
        StatusEvent(
            id=work.request.id,
            state="running",
            at=clock.now,
            model="double",
            backend="local",
            worker="local@a",
            class_="interactive",
            attempts=2,
            failed=[failed],
            reason=reason,
            submitted_at=work.ticket.submitted_at,
            placed_at=NOW,
            started_at=NOW + 2,
            deadline=NOW + 60,
        )
    ]


def test_each_request_is_reported_once(
    reporter: StatusReporter,
    sender: Sender,
    cancellations: CancellationTracker,
    clock: Clock,
    make_work: Make,
) -> None:
    cancellations.started([make_work() for _ in range(MAX_EVENTS + 1)])
    for _ in range(3):
        clock.now += REPORT_INTERVAL_S
        reporter.report()
    assert [len(events(message)) for message in sender.sent] == [MAX_EVENTS, 1]


def test_a_request_that_ended_or_was_cancelled_is_not_reported(
    reporter: StatusReporter,
    sender: Sender,
    cancellations: CancellationTracker,
    clock: Clock,
    make_work: Make,
) -> None:
    done, cancelled = make_work(), make_work()
    cancellations.started([done, cancelled])
    cancellations.finished(done)
    cancellations.cancel(cancelled.request.id)
    clock.now += REPORT_INTERVAL_S
    reporter.report()
    assert sender.sent == []


def test_a_fault_ends_neither_the_thread_nor_later_events(
    sender: Sender,
    cancellations: CancellationTracker,
    clock: Clock,
    make_work: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(status_reporter, "REPORT_INTERVAL_S", 0.01)
    broken = iter([ZeroDivisionError()])
    sent = threading.Event()

    class Faulty(Sender):
        def publish(self, message: Outgoing) -> Future[None]:
            for error in broken:
                raise error
            sent.set()
            return super().publish(message)

    pool = PoolIdentity(backend="local", worker="local@a", price=PRICES["local"])
    reporter = StatusReporter(Faulty(), pool, cancellations, clock)
    reporter.start()
    cancellations.started([make_work()])
    deadline = time.monotonic() + 30
    while not sent.is_set():
        assert time.monotonic() < deadline
        clock.now += 1
        cancellations.started([make_work()])
        time.sleep(0.01)
    reporter.stop()
