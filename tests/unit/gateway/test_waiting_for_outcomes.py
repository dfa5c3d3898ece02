"""Who waits over HTTP gets the outcome though the connection that should have brought it was lost."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.http import context
from gateway.http.context import Parts
from gateway.http.rendering.problems import Refusal
from gateway.http.requests.broker_client import Asked
from gateway.http.requests.idempotency import Firsts
from gateway.http.requests.recent_requests import Recent
from gateway.http.requests.submission_log import Notes
from gateway.http.settings import Settings
from gateway.shared.request_builder import Composed
from outcomes.db.errors import LedgerUnavailable
from straightline.contracts import Outcome
from straightline.errors import BrokerUnavailable, Rejected, StraightLineError
from straightline.ids import new_id


class Exchange:
    """The broker, which loses what it should push."""

    def __init__(self, *, loses: bool) -> None:
        self.losses = 0
        self._loses = loses
        self.waiting = 0
        self.sent: Future[None] = Future()

    def ask(self, *_: Any, **__: Any) -> Asked:
        self.losses += self._loses
        self.waiting += 1
        return Asked("token", Future(), self.sent)

    def forget(self, *_: Any) -> None:
        self.waiting -= 1


class Reader:
    """The ledger's connections."""

    @contextmanager
    def connection(self) -> Iterator[None]:
        yield


def _parts(exchange: Exchange) -> Parts:
    unused: Any = None
    ours: Any = exchange
    reader: Any = Reader()
    notes = Notes(lambda _: None)
    settings = Settings(broker_url="", database_url="", models_dir=Path())
    firsts = Firsts(lambda _: None)
    return Parts(settings, ours, reader, reader, unused, unused, unused, Recent(), notes, None, firsts)


def _composed(seconds: float) -> Composed:
    now = time.time()
    return Composed(new_id(), "double", b"{}", "interactive", now, now + seconds)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "LOOK", 0.02)
    monkeypatch.setattr(context, "GRACE", 0.0)


def _ledger(monkeypatch: pytest.MonkeyPatch, *answers: Any) -> list[str]:
    asked: list[str] = []
    left = list(answers)

    def outcome_of(_connection: None, request_id: str) -> Outcome | None:
        asked.append(request_id)
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer and Outcome(request_id=request_id, state="succeeded", finished_at=answer)

    monkeypatch.setattr(context, "outcome_of", outcome_of)
    return asked


def test_an_outcome_lost_with_its_connection_is_found_in_the_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    composed, exchange = _composed(30.0), Exchange(loses=True)
    _ledger(monkeypatch, None, LedgerUnavailable("away"), time.time() + 1)
    outcome = _parts(exchange).answer(composed, {}, wait=None)
    assert outcome is not None
    assert outcome.request_id == composed.id
    assert exchange.waiting == 0


def test_what_ended_before_it_was_asked_is_not_taken_for_its_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    _ledger(monkeypatch, time.time() - 60)
    with pytest.raises(Refusal) as refused:
        _parts(Exchange(loses=True)).answer(_composed(0.1), {}, wait=None)
    assert refused.value.problem.status == 504


def test_the_ledger_is_not_asked_while_the_connection_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _ledger(monkeypatch, time.time() + 1)
    exchange = Exchange(loses=False)
    exchange.sent.set_result(None)
    assert _parts(exchange).answer(_composed(30.0), {}, wait=0.1) is None
    assert asked == []


def test_what_was_waited_for_in_vain_was_submitted_when_it_was_composed() -> None:
    """Not when the caller was told that it was taken: it may run since long before."""
    exchange = Exchange(loses=False)
    exchange.sent.set_result(None)
    context, composed = _parts(exchange), _composed(30.0)
    assert context.answer(composed, {}, wait=0.2) is None
    status = context.recent.status(composed.id)
    assert status is not None
    assert status.submitted_at == composed.submitted_at


@pytest.mark.parametrize("error", [BrokerUnavailable("not confirmed"), Rejected("full")])
def test_nobody_is_told_that_a_request_was_taken_which_the_broker_has_not(error: StraightLineError) -> None:
    exchange, composed = Exchange(loses=False), _composed(30.0)
    late = threading.Timer(0.2, exchange.sent.set_exception, (error,))
    late.start()
    context = _parts(exchange)
    with pytest.raises(type(error)):
        context.answer(composed, {}, wait=0.01)
    assert exchange.waiting == 0
    assert context.recent.status(composed.id) is None
