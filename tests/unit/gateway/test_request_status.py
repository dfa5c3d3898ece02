"""Status and cancellation of unfinished requests, also while the ledger fails."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask.testing import FlaskClient

from gateway.http.app import build
from gateway.http.context import AppContext
from gateway.http.requests import status_lookup, unfinished_placement
from gateway.http.requests.status_lookup import StatusLookup
from gateway.http.requests.status_map import LEADER_TIMEOUT_S, StatusMap
from gateway.http.settings import Settings
from outcomes.db.errors import LedgerNotMigrated, LedgerUnavailable
from outcomes.queries.last_placement import LastPlacement
from outcomes.queries.submissions import Submission
from straightline.contracts import Attempt, Outcome, Reason, StatusEvent, StatusEvents
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
    """The broker, which notes what is to be cancelled."""

    def __init__(self) -> None:
        self.cancelled: list[str] = []

    def cancel(self, request_id: str) -> None:
        self.cancelled.append(request_id)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Keys:
    """Everybody may do everything."""

    def require(self, scope: str) -> None:
        """Let in."""


@pytest.fixture
def exchange() -> Exchange:
    return Exchange()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def status(clock: Clock) -> StatusMap:
    """What the stream has brought: that a scheduler leads."""
    status = StatusMap(clock)
    for at in (1.0, 2.0):
        status.update(StatusEvents(at=at, leader=True))
        clock.now += 1.0
    return status


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch, exchange: Exchange, status: StatusMap) -> AppContext:
    """A gateway whose ledger has no outcome and no placement."""
    monkeypatch.setattr(status_lookup, "outcome_of", lambda *_: None)
    monkeypatch.setattr(status_lookup, "find_submission", lambda *_: None)
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
        auth=keys,
        models=unused,
        workers=unused,
        statuses=StatusLookup(ledger=reader, placement_ledger=reader, events=status),
        store=None,
        requests=unused,
    )


@pytest.fixture(params=[LedgerUnavailable, LedgerNotMigrated])
def client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, ours: AppContext) -> FlaskClient:
    """The same, and then the ledger is gone."""

    def gone(*_: Any) -> None:
        raise request.param("away")

    monkeypatch.setattr(status_lookup, "find_submission", gone)
    return build(ours).test_client()


def submitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the ledger know that a gateway took the request."""
    submission = Submission(id=ID, model="m", submitted_at=1.0, deadline=None, until=9e9)
    monkeypatch.setattr(status_lookup, "find_submission", lambda *_: submission)


def learn(status: StatusMap, *events: StatusEvent) -> None:
    status.update(StatusEvents(at=2.0, events=list(events)))


def test_a_ledger_failure_publishes_no_cancellation(client: FlaskClient, exchange: Exchange) -> None:
    assert client.get(f"/v1/requests/{ID}").status_code == 503
    assert client.delete(f"/v1/requests/{ID}").status_code == 503
    assert not exchange.cancelled


HELD = StatusEvent(
    id=ID, state="held", at=2.0, model="m", held_reason="local: no pool reports", held_since=2.0, attempts=1
)
RUNNING = StatusEvent(
    id=ID, state="running", at=3.0, backend="local", worker="local@a", attempts=2, started_at=3.0
)


def test_a_submitted_request_without_events_is_accepted_and_can_be_cancelled(
    ours: AppContext, exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted(monkeypatch)
    client = build(ours).test_client()
    told = client.get(f"/v1/requests/{ID}")
    assert (told.status_code, told.get_json()["state"]) == (200, "accepted")
    taken_back = client.delete(f"/v1/requests/{ID}")
    assert (taken_back.status_code, taken_back.get_json()["cancelling"]) == (202, True)
    assert exchange.cancelled == [ID]


def test_a_held_request_has_its_reason_whichever_way_it_came(
    ours: AppContext, status: StatusMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = build(ours).test_client()
    learn(status, HELD)
    told = client.get(f"/v1/requests/{ID}").get_json()  # it came by the broker, and the ledger has nothing
    assert (told["state"], told["held_reason"], told["model"]) == ("held", "local: no pool reports", "m")
    submitted(monkeypatch)
    told = client.get(f"/v1/requests/{ID}").get_json()
    assert (told["state"], told["held_since"], told["submitted_at"]) == ("held", 2.0, 1.0)
    story = client.get(f"/v1/placements/{ID}").get_json()
    assert (story["state"], story["held_reason"]) == ("held", "local: no pool reports")
    result = client.get(f"/v1/requests/{ID}/result")
    assert (result.status_code, result.get_json()["state"]) == (409, "held")


def test_a_running_request_has_its_worker_and_start(ours: AppContext, status: StatusMap) -> None:
    learn(status, HELD, RUNNING)
    client = build(ours).test_client()
    told = client.get(f"/v1/requests/{ID}").get_json()
    assert (told["state"], told["backend"], told["worker"]) == ("running", "local", "local@a")
    assert (told["attempts"], told["started_at"], "held_reason" in told) == (2, 3.0, False)
    (step,) = client.get(f"/v1/placements/{ID}").get_json()["steps"]
    assert (step["number"], step["backend"], step["worker"]) == (2, "local", "local@a")


def test_an_unfinished_request_has_the_reason_of_its_placement_and_its_failed_attempts(
    ours: AppContext, status: StatusMap
) -> None:
    reason = Reason(policy="empirical", rule=3, f_t=1, F=50, r_d=1, D=9, s_f=True, s_d=False)
    tried = Attempt(
        number=1, backend="serverless", succeeded=False, placed_at=1.0, started_at=1.0, finished_at=2.0
    )
    learn(
        status, msgspec.structs.replace(RUNNING, reason=reason, failed=[tried], class_="batch", deadline=9.0)
    )
    client = build(ours).test_client()
    story = client.get(f"/v1/placements/{ID}").get_json()
    assert (story["class"], story["deadline"]) == ("batch", 9.0)
    failed, step = story["steps"]
    assert (failed["backend"], failed["succeeded"]) == ("serverless", False)
    assert (step["number"], step["reason"]["rule"], "succeeded" in step) == (2, 3, False)
    assert client.get(f"/v1/requests/{ID}").get_json()["class"] == "batch"


def test_a_request_that_is_in_neither_ledger_nor_stream_is_unknown(ours: AppContext) -> None:
    assert build(ours).test_client().get(f"/v1/requests/{ID}").status_code == 404


def test_after_its_end_a_request_is_answered_from_the_ledger(
    ours: AppContext, status: StatusMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn(status, RUNNING)
    monkeypatch.setattr(
        status_lookup, "outcome_of", lambda *_: Outcome(request_id=ID, state="rejected", finished_at=4.0)
    )
    assert build(ours).test_client().get(f"/v1/requests/{ID}").get_json()["state"] == "rejected"
    assert status.find(ID) is None


@pytest.mark.parametrize("why", ["no scheduler leads now", "status events cannot be read (refused)"])
def test_while_events_are_missing_answers_say_so_and_unknown_is_not_claimed(
    ours: AppContext, status: StatusMap, clock: Clock, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "scheduler" in why:
        clock.now += LEADER_TIMEOUT_S + 1
    else:
        status.reader_trouble = lambda: "refused"
    client = build(ours).test_client()
    for path in (f"/v1/requests/{ID}", f"/v1/requests/{ID}/result", f"/v1/placements/{ID}"):
        told = client.get(path)
        assert (told.status_code, told.headers["Retry-After"]) == (503, "1")
        problem = told.get_json()
        assert (problem["error_class"], problem["request_id"]) == ("nobody_to_ask", ID)
        assert why in problem["detail"]
    submitted(monkeypatch)
    told = client.get(f"/v1/requests/{ID}").get_json()
    assert (told["state"], why in told["note"]) == ("accepted", True)


CANCELLED = Outcome(
    request_id=ID, state="cancelled", submitted_at=1.0, finished_at=5.0, error="it was cancelled"
)


def test_an_unanswered_placement_is_reported(ours: AppContext, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = LastPlacement(backend="local", model="m", version="1", attempt=1, placed_at=1.5)
    monkeypatch.setattr(status_lookup, "outcome_of", lambda *_: CANCELLED)
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
    reader: Any = Reader()
    statuses = StatusLookup(ledger=reader, placement_ledger=busy, events=StatusMap())
    client = build(dataclasses.replace(ours, statuses=statuses)).test_client()
    assert "backend" not in client.get(f"/v1/requests/{ID}").get_json()  # and it is told all the same


def test_a_placement_with_an_attempt_is_reported_once(
    ours: AppContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = Attempt(
        number=1, backend="local", succeeded=False, placed_at=1.5, started_at=2.0, finished_at=3.0
    )
    expired = Outcome(request_id=ID, state="expired", submitted_at=1.0, finished_at=5.0, attempts=[tried])
    monkeypatch.setattr(status_lookup, "outcome_of", lambda *_: expired)
    for attempt, backends in ((1, ["local"]), (2, ["local", "serverless"])):
        lease = LastPlacement(backend="serverless", model="m", attempt=attempt, placed_at=4.0)
        monkeypatch.setattr(unfinished_placement, "last_placement", lambda *_, lease=lease: lease)
        steps = build(ours).test_client().get(f"/v1/placements/{ID}").get_json()["steps"]
        assert [step["backend"] for step in steps] == backends
