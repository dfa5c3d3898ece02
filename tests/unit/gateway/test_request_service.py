"""A synchronous caller gets its outcome although the connection that carries it was lost."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import pytest

from gateway.http.rendering.problems import ApiError
from gateway.http.requests import request_service
from gateway.http.requests.broker_client import PendingOutcome
from gateway.http.requests.idempotency import IdempotencyGuard
from gateway.http.requests.request_service import RequestService
from gateway.http.requests.submission_log import SubmissionLog
from gateway.shared.request_builder import PreparedRequest
from outcomes.db.errors import LedgerUnavailable
from straightline.contracts import Outcome
from straightline.errors import BrokerUnavailable, Rejected, StraightLineError
from straightline.ids import new_id


class Exchange:
    """The broker, which loses what it should push."""

    def __init__(self, *, loses: bool) -> None:
        self.connection_losses = 0
        self._loses = loses
        self.waiting = 0
        self.sent: Future[None] = Future()

    def submit_for_outcome(self, *_: Any, **__: Any) -> PendingOutcome:
        self.connection_losses += self._loses
        self.waiting += 1
        return PendingOutcome("token", Future(), self.sent)

    def discard(self, *_: Any) -> None:
        self.waiting -= 1


class Reader:
    """The ledger's connections."""

    @contextmanager
    def connection(self) -> Iterator[None]:
        yield


def _service(exchange: Exchange) -> RequestService:
    broker: Any = exchange
    ledger: Any = Reader()
    return RequestService(
        broker=broker,
        ledger=ledger,
        submissions=SubmissionLog(lambda _: None),
        store=None,
        idempotency=IdempotencyGuard(lambda _: None),
        timeout_s=60.0,
        inline_limit=99,
    )


def _composed(seconds: float) -> PreparedRequest:
    now = time.time()
    return PreparedRequest(new_id(), "double", b"{}", "interactive", now, now + seconds)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_service, "LEDGER_POLL_INTERVAL_S", 0.02)
    monkeypatch.setattr(request_service, "DEADLINE_GRACE_S", 0.0)


def _ledger(monkeypatch: pytest.MonkeyPatch, *answers: Any) -> list[str]:
    asked: list[str] = []
    left = list(answers)

    def outcome_of(_connection: None, request_id: str) -> Outcome | None:
        asked.append(request_id)
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer and Outcome(request_id=request_id, state="succeeded", finished_at=answer)

    monkeypatch.setattr(request_service, "outcome_of", outcome_of)
    return asked


def test_an_outcome_lost_with_its_connection_is_found_in_the_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    composed, exchange = _composed(30.0), Exchange(loses=True)
    _ledger(monkeypatch, None, LedgerUnavailable("away"), time.time() + 1)
    outcome = _service(exchange).submit_and_wait(composed, {}, wait=None)
    assert outcome is not None
    assert outcome.request_id == composed.id
    assert exchange.waiting == 0


def test_an_earlier_outcome_under_the_same_id_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    _ledger(monkeypatch, time.time() - 60)
    with pytest.raises(ApiError) as refused:
        _service(Exchange(loses=True)).submit_and_wait(_composed(0.1), {}, wait=None)
    assert refused.value.problem.status == 504


def test_the_ledger_is_not_polled_while_the_connection_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _ledger(monkeypatch, time.time() + 1)
    exchange = Exchange(loses=False)
    exchange.sent.set_result(None)
    assert _service(exchange).submit_and_wait(_composed(30.0), {}, wait=0.1) is None
    assert asked == []


@pytest.mark.parametrize("error", [BrokerUnavailable("not confirmed"), Rejected("full")])
def test_an_unconfirmed_request_is_not_answered_with_202(error: StraightLineError) -> None:
    exchange, composed = Exchange(loses=False), _composed(30.0)
    late = threading.Timer(0.2, exchange.sent.set_exception, (error,))
    late.start()
    with pytest.raises(type(error)):
        _service(exchange).submit_and_wait(composed, {}, wait=0.01)
    assert exchange.waiting == 0
