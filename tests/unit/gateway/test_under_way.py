"""A request under way is told of, and taken back, though the ledger goes away in the middle of the answer."""

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from gateway.http import resources
from gateway.http.app import build
from gateway.http.composing import Composed
from gateway.http.parts import Parts
from gateway.http.recent import Recent
from gateway.http.settings import Settings
from outcomes.errors import LedgerNotMigrated, LedgerUnavailable
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
    """The broker, which notes who is to be cancelled."""

    def __init__(self) -> None:
        self.cancelled: list[str] = []

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
def recent() -> Recent:
    return Recent()


@pytest.fixture
def searched() -> list[datetime]:
    return []


@pytest.fixture
def ours(
    monkeypatch: pytest.MonkeyPatch, exchange: Exchange, recent: Recent, searched: list[datetime]
) -> Parts:
    """A gateway whose ledger has no outcome and no placement."""
    monkeypatch.setattr(resources, "outcome_of", lambda *_: None)
    monkeypatch.setattr(resources, "noted", lambda *_: None)
    monkeypatch.setattr(resources, "placed", lambda _, __, since: searched.append(since))
    unused: Any = None
    reader: Any = Reader()
    broker: Any = exchange
    keys: Any = Keys()
    settings = Settings(broker_url="", database_url="", models_dir=Path())
    return Parts(settings, broker, reader, reader, keys, unused, unused, recent, unused, None)


@pytest.fixture(params=[LedgerUnavailable, LedgerNotMigrated])
def client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, ours: Parts) -> FlaskClient:
    """The same, and then the ledger is gone."""

    def gone(*_: Any) -> None:
        raise request.param("away")

    monkeypatch.setattr(resources, "noted", gone)
    return build(ours).test_client()


def test_what_this_process_took_it_tells(client: FlaskClient, exchange: Exchange, recent: Recent) -> None:
    recent.add(Composed(ID, "m", b"", "interactive", None), 1.0)
    told = client.get(f"/v1/requests/{ID}")
    assert (told.status_code, told.get_json()["state"]) == (200, "accepted")
    taken_back = client.delete(f"/v1/requests/{ID}")
    assert (taken_back.status_code, taken_back.get_json()["cancelling"]) == (202, True)
    assert exchange.cancelled == [ID]


def test_what_fails_for_the_ledger_cancels_nothing(client: FlaskClient, exchange: Exchange) -> None:
    assert client.get(f"/v1/requests/{ID}").status_code == 503
    assert client.delete(f"/v1/requests/{ID}").status_code == 503
    assert not exchange.cancelled


def test_while_no_placement_can_be_searched_the_rest_is_told(ours: Parts, recent: Recent) -> None:
    busy: Any = Busy()
    client = build(dataclasses.replace(ours, searcher=busy)).test_client()
    assert client.get(f"/v1/requests/{ID}").status_code == 503  # it may have come by the broker
    recent.add(Composed(ID, "m", b"", "interactive", None), time.time())
    told = client.get(f"/v1/requests/{ID}")
    assert (told.status_code, told.get_json()["state"]) == (200, "accepted")


def test_placements_of_the_last_day_are_searched(
    ours: Parts, recent: Recent, searched: list[datetime]
) -> None:
    recent.add(Composed(ID, "m", b"", "batch", None), time.time() - 7 * 86_400)
    build(ours).test_client().get(f"/v1/requests/{ID}")
    (since,) = searched
    assert datetime.now(UTC) - since < timedelta(hours=25)
