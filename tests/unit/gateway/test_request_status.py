"""A request under way is told of, and taken back, though the ledger goes away in the middle of the answer."""

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask.testing import FlaskClient

from gateway.http.app import build
from gateway.http.context import AppContext
from gateway.http.requests import unfinished_placement
from gateway.http.requests.recent_requests import RecentRequests
from gateway.http.requests.status_client import UNHEARD, PendingQuery
from gateway.http.routes import requests
from gateway.http.settings import Settings
from gateway.shared.request_builder import PreparedRequest
from outcomes.db.errors import LedgerNotMigrated, LedgerUnavailable
from outcomes.queries.last_placement import LastPlacement
from straightline.contracts import Attempt, Outcome, Reason, StatusReply
from straightline.ids import new_id

ID = new_id()


class Reader:
    """The ledger's connections."""

    @contextmanager
    def connection(self) -> Iterator[None]:
        yield


class Busy:
    """All connections are in use."""

    def connection(self) -> None:
        raise LedgerUnavailable("asked much")


class Exchange:
    """The broker, which notes who is to be cancelled, and brings the `answers` of who was asked."""

    def __init__(self) -> None:
        self.cancelled: list[str] = []
        self.answers: list[StatusReply] = []

    @contextmanager
    def status_query(self, request_id: str) -> Iterator[PendingQuery]:
        inquiry = PendingQuery(request_id)
        for answer in self.answers:
            inquiry.hear(answer)
        inquiry.give_up(UNHEARD)
        yield inquiry

    def cancel(self, request_id: str) -> None:
        self.cancelled.append(request_id)


class Keys:
    """Everybody may do everything."""

    def require(self, scope: str) -> None:
        """Let in."""


@pytest.fixture
def exchange() -> Exchange:
    return Exchange()


@pytest.fixture
def recent() -> RecentRequests:
    return RecentRequests()


@pytest.fixture
def searched() -> list[datetime]:
    return []


@pytest.fixture
def ours(
    monkeypatch: pytest.MonkeyPatch, exchange: Exchange, recent: RecentRequests, searched: list[datetime]
) -> AppContext:
    """A gateway whose ledger has no outcome and no placement."""
    monkeypatch.setattr(requests, "outcome_of", lambda *_: None)
    monkeypatch.setattr(requests, "find_submission", lambda *_: None)
    monkeypatch.setattr(requests, "last_placement", lambda _, __, since: searched.append(since))
    monkeypatch.setattr(unfinished_placement, "last_placement", lambda *_: None)
    unused: Any = None
    reader: Any = Reader()
    broker: Any = exchange
    keys: Any = Keys()
    settings = Settings(broker_url="", database_url="", models_dir=Path())
    return AppContext(
        settings=settings,
        broker=broker,
        ledger=reader,
        placement_ledger=reader,
        auth=keys,
        models=unused,
        workers=unused,
        recent=recent,
        store=None,
        requests=unused,
    )


@pytest.fixture(params=[LedgerUnavailable, LedgerNotMigrated])
def client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, ours: AppContext) -> FlaskClient:
    """The same, and then the ledger is gone."""

    def gone(*_: Any) -> None:
        raise request.param("away")

    monkeypatch.setattr(requests, "find_submission", gone)
    return build(ours).test_client()


def test_what_this_process_took_it_tells(
    client: FlaskClient, exchange: Exchange, recent: RecentRequests
) -> None:
    recent.add(PreparedRequest(ID, "m", b"", "interactive", 1.0, None))
    told = client.get(f"/v1/requests/{ID}")
    assert (told.status_code, told.get_json()["state"]) == (200, "accepted")
    taken_back = client.delete(f"/v1/requests/{ID}")
    assert (taken_back.status_code, taken_back.get_json()["cancelling"]) == (202, True)
    assert exchange.cancelled == [ID]


def test_what_fails_for_the_ledger_cancels_nothing(client: FlaskClient, exchange: Exchange) -> None:
    assert client.get(f"/v1/requests/{ID}").status_code == 503
    assert client.delete(f"/v1/requests/{ID}").status_code == 503
    assert not exchange.cancelled


def test_while_no_placement_can_be_searched_the_rest_is_told(
    ours: AppContext, recent: RecentRequests
) -> None:
    busy: Any = Busy()
    client = build(dataclasses.replace(ours, placement_ledger=busy)).test_client()
    assert client.get(f"/v1/requests/{ID}").status_code == 503  # it may have come by the broker
    recent.add(PreparedRequest(ID, "m", b"", "interactive", time.time(), None))
    told = client.get(f"/v1/requests/{ID}")
    assert (told.status_code, told.get_json()["state"]) == (200, "accepted")


HELD = StatusReply(id=ID, state="held", model="m", held_reason="local: no pool reports", held_since=2.0)
RUNNING = StatusReply(id=ID, state="running", backend="local", worker="local@a", attempts=2, started_at=3.0)


def test_what_is_held_is_told_with_its_reason_whoever_took_it(
    ours: AppContext, exchange: Exchange, recent: RecentRequests
) -> None:
    client = build(ours).test_client()
    exchange.answers = [HELD]
    told = client.get(f"/v1/requests/{ID}").get_json()  # it came by the broker, and the ledger has nothing
    assert (told["state"], told["held_reason"], told["model"]) == ("held", "local: no pool reports", "m")
    recent.add(PreparedRequest(ID, "m", b"", "interactive", 1.0, None))
    told = client.get(f"/v1/requests/{ID}").get_json()
    assert (told["state"], told["held_since"], told["submitted_at"]) == ("held", 2.0, 1.0)
    story = client.get(f"/v1/placements/{ID}").get_json()
    assert (story["state"], story["held_reason"]) == ("held", "local: no pool reports")
    result = client.get(f"/v1/requests/{ID}/result")
    assert (result.status_code, result.get_json()["state"]) == (409, "held")


def test_what_runs_is_told_with_its_worker_and_goes_before_what_the_ledger_has(
    ours: AppContext, exchange: Exchange, recent: RecentRequests, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = LastPlacement(backend="serverless", model="m", attempt=1, placed_at=1.5)
    monkeypatch.setattr(requests, "last_placement", lambda *_: first)
    recent.add(PreparedRequest(ID, "m", b"", "interactive", time.time(), None))
    exchange.answers = [RUNNING]
    client = build(ours).test_client()
    told = client.get(f"/v1/requests/{ID}").get_json()
    assert (told["state"], told["backend"], told["worker"]) == ("running", "local", "local@a")
    assert (told["attempts"], told["started_at"]) == (2, 3.0)
    (step,) = client.get(f"/v1/placements/{ID}").get_json()["steps"]
    assert (step["number"], step["backend"], step["worker"]) == (2, "local", "local@a")


def test_of_what_has_not_ended_it_is_told_why_it_is_where_it_is_and_what_failed_before(
    ours: AppContext, exchange: Exchange
) -> None:
    reason = Reason(policy="empirical", rule=3, f_t=1, F=50, r_d=1, D=9, s_f=True, s_d=False)
    tried = Attempt(
        number=1, backend="serverless", succeeded=False, placed_at=1.0, started_at=1.0, finished_at=2.0
    )
    answer = msgspec.structs.replace(RUNNING, reason=reason, failed=[tried], class_="batch", deadline=9.0)
    exchange.answers = [answer]
    client = build(ours).test_client()
    story = client.get(f"/v1/placements/{ID}").get_json()
    assert (story["class"], story["deadline"]) == ("batch", 9.0)
    failed, step = story["steps"]
    assert (failed["backend"], failed["succeeded"]) == ("serverless", False)
    assert (step["number"], step["reason"]["rule"], "succeeded" in step) == (2, 3, False)
    assert client.get(f"/v1/requests/{ID}").get_json()["class"] == "batch"


def test_where_nobody_knows_more_it_is_told_what_the_ledger_has(
    ours: AppContext, exchange: Exchange, recent: RecentRequests, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = build(ours).test_client()
    exchange.answers = [StatusReply(id=ID)]
    assert client.get(f"/v1/requests/{ID}").status_code == 404
    recent.add(PreparedRequest(ID, "m", b"", "interactive", time.time(), None))
    assert client.get(f"/v1/requests/{ID}").get_json()["state"] == "accepted"
    lease = LastPlacement(backend="local", model="m", attempt=1, placed_at=1.5)
    monkeypatch.setattr(requests, "last_placement", lambda *_: lease)
    for answers in ([], [StatusReply(id=ID)], [StatusReply(id=ID, state="accepted")]):
        exchange.answers = answers
        told = client.get(f"/v1/requests/{ID}").get_json()
        assert (told["state"], told["backend"], told["placed_at"]) == ("placed", "local", 1.5)


def test_what_ended_while_others_were_asked_is_not_unknown(
    ours: AppContext, exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([None, Outcome(request_id=ID, state="rejected", finished_at=2.0)])
    monkeypatch.setattr(requests, "outcome_of", lambda *_: next(answers))
    exchange.answers = [StatusReply(id=ID)]
    assert build(ours).test_client().get(f"/v1/requests/{ID}").get_json()["state"] == "rejected"


def test_where_nobody_can_be_asked_it_is_said_and_not_that_it_never_came(
    ours: AppContext, recent: RecentRequests, exchange: Exchange
) -> None:
    client = build(ours).test_client()
    for path in (f"/v1/requests/{ID}", f"/v1/requests/{ID}/result", f"/v1/placements/{ID}"):
        told = client.get(path)
        assert (told.status_code, told.headers["Retry-After"]) == (503, "1")
        problem = told.get_json()
        assert (problem["error_class"], problem["request_id"]) == ("nobody_to_ask", ID)
        assert "no scheduler could be asked now (none listens)" in problem["detail"]
    recent.add(PreparedRequest(ID, "m", b"", "interactive", time.time(), None))
    told = client.get(f"/v1/requests/{ID}").get_json()
    assert (told["state"], "none listens" in told["note"]) == ("accepted", True)
    exchange.answers = [HELD]
    assert "note" not in client.get(f"/v1/requests/{ID}").get_json()


CANCELLED = Outcome(
    request_id=ID, state="cancelled", submitted_at=1.0, finished_at=5.0, error="it was cancelled"
)


def test_what_ended_without_an_answer_is_told_with_where_it_was_placed(
    ours: AppContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = LastPlacement(backend="local", model="m", version="1", attempt=1, placed_at=1.5)
    monkeypatch.setattr(requests, "outcome_of", lambda *_: CANCELLED)
    monkeypatch.setattr(unfinished_placement, "last_placement", lambda *_: lease)
    client = build(ours).test_client()
    told = client.get(f"/v1/requests/{ID}").get_json()
    assert (told["state"], told["backend"], told["attempts"], told["version"]) == (
        "cancelled",
        "local",
        1,
        "1",
    )
    (step,) = client.get(f"/v1/placements/{ID}").get_json()["steps"]
    assert step == {"number": 1, "backend": "local", "placed_at": 1.5}
    busy: Any = Busy()
    client = build(dataclasses.replace(ours, placement_ledger=busy)).test_client()
    assert "backend" not in client.get(f"/v1/requests/{ID}").get_json()  # and it is told all the same


def test_a_placement_of_which_the_outcome_has_the_attempt_is_told_once(
    ours: AppContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = Attempt(
        number=1, backend="local", succeeded=False, placed_at=1.5, started_at=2.0, finished_at=3.0
    )
    expired = Outcome(request_id=ID, state="expired", submitted_at=1.0, finished_at=5.0, attempts=[tried])
    monkeypatch.setattr(requests, "outcome_of", lambda *_: expired)
    for attempt, backends in ((1, ["local"]), (2, ["local", "serverless"])):
        lease = LastPlacement(backend="serverless", model="m", attempt=attempt, placed_at=4.0)
        monkeypatch.setattr(unfinished_placement, "last_placement", lambda *_, lease=lease: lease)
        steps = build(ours).test_client().get(f"/v1/placements/{ID}").get_json()["steps"]
        assert [step["backend"] for step in steps] == backends


def test_what_was_asked_is_told_though_the_ledger_goes_away(client: FlaskClient, exchange: Exchange) -> None:
    exchange.answers = [HELD]
    assert client.get(f"/v1/requests/{ID}").get_json()["state"] == "held"


def test_placements_of_the_last_day_are_searched(
    ours: AppContext, recent: RecentRequests, searched: list[datetime]
) -> None:
    recent.add(PreparedRequest(ID, "m", b"", "batch", time.time() - 7 * 86_400, None))
    build(ours).test_client().get(f"/v1/requests/{ID}")
    (since,) = searched
    assert datetime.now(UTC) - since < timedelta(hours=25)
