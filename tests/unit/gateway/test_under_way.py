"""A request under way is told of, and taken back, though the ledger goes away in the middle of the answer."""

from collections.abc import Iterator
from contextlib import contextmanager
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


@pytest.fixture(params=[LedgerUnavailable, LedgerNotMigrated])
def client(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, exchange: Exchange, recent: Recent
) -> FlaskClient:
    """A gateway whose ledger has no outcome and then is gone."""

    def gone(*_: Any) -> None:
        raise request.param("away")

    monkeypatch.setattr(resources, "outcome_of", lambda *_: None)
    monkeypatch.setattr(resources, "noted", gone)
    unused: Any = None
    reader: Any = Reader()
    ours: Any = exchange
    keys: Any = Keys()
    settings = Settings(broker_url="", database_url="", models_dir=Path())
    return build(Parts(settings, ours, reader, keys, unused, unused, recent, unused, None)).test_client()


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
