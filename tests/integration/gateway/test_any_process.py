"""Every gateway process reports every unfinished request."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pika
import pytest

from gateway.http.requests.status_map import LEADER_TIMEOUT_S
from outcomes.db.database import connected
from outcomes.queries.submissions import Submission, find_submission, insert_submissions, purge_submissions
from outcomes.recording import placements
from straightline import names
from straightline.contracts import Lease, Outcome, StatusEvent
from straightline.ids import new_id
from tests.integration.gateway.conftest import Gateway, body
from tests.integration.gateway.idle_leader import IdleLeader
from tests.integration.gateway.test_requests import record

pytestmark = pytest.mark.integration
Start = Callable[..., Gateway]
REQUEST = {"model": "double", "data": body([1.0])}


def place(gateway: Gateway, request_id: str, backend: Any, attempt: int) -> None:
    """Record a placement, as the recorder does."""
    now = time.time()
    lease = Lease(
        task_id=new_id(),
        ids=[new_id(), request_id],
        backend=backend,
        model="double",
        version="1",
        class_="interactive",
        attempt=attempt,
        placed_at=now,
        until=now + 90,
    )
    with connected(gateway.database_url) as connection, connection.begin():
        placements.insert_leases(connection, [lease])


def test_another_process_reports_an_accepted_request(gateway: Gateway, start_gateway: Start) -> None:
    other = start_gateway()
    where = gateway.ask("POST", "/v1/requests", json=REQUEST).headers["Location"]
    told = other.ask("GET", where)
    assert (told.status_code, told.json()["state"], told.json()["model"]) == (200, "accepted", "double")
    waited = gateway.ask("POST", "/v1/requests", json=REQUEST, headers={"Prefer": "respond-async, wait=1"})
    assert other.ask("GET", waited.headers["Location"]).json()["state"] == "accepted"
    assert other.ask("GET", waited.headers["Location"] + "/result").status_code == 409


def test_a_deadline_beyond_any_date_is_recorded(gateway: Gateway, start_gateway: Start) -> None:
    taken = gateway.ask("POST", "/v1/requests", json={**REQUEST, "deadline": 1e12})
    assert start_gateway().ask("GET", taken.headers["Location"]).json()["state"] == "accepted"


def until(gateway: Gateway, request_id: str, state: str) -> dict[str, Any]:
    """Ask until the request is in that state."""
    end = time.monotonic() + 30
    while (told := gateway.ask("GET", f"/v1/requests/{request_id}").json()).get("state") != state:
        assert time.monotonic() < end, told
        time.sleep(0.02)
    return dict(told)


def test_every_process_follows_the_status_events(
    gateway: Gateway, start_gateway: Start, system_url: str
) -> None:
    taken = gateway.ask("POST", "/v1/requests", json=REQUEST).json()
    by_broker = new_id()
    with IdleLeader(system_url) as leader:
        leader.publish(
            StatusEvent(id=taken["id"], state="placed", at=1.0, backend="local", version="1", attempts=2),
            StatusEvent(id=by_broker, state="held", at=1.0, held_reason="local: no pool reports"),
        )
        for asked in (gateway, start_gateway()):  # the second one reads what was there before it
            status = until(asked, taken["id"], "placed")
            assert (status["backend"], status["attempts"], status["version"]) == ("local", 2, "1")
            assert status["submitted_at"] == pytest.approx(taken["submitted_at"])
            assert until(asked, by_broker, "held")["held_reason"] == "local: no pool reports"
        assert gateway.ask("DELETE", f"/v1/requests/{taken['id']}").json()["state"] == "placed"
        unknown = gateway.ask("GET", f"/v1/requests/{new_id()}")
        assert (unknown.status_code, unknown.json()["error_class"]) == (404, "unknown_request")


def test_without_a_leader_an_unknown_request_is_answered_with_503(gateway: Gateway) -> None:
    end = time.monotonic() + 2 * LEADER_TIMEOUT_S  # an earlier test had a leader
    while (unplaced := gateway.ask("GET", f"/v1/requests/{new_id()}")).status_code != 503:
        assert time.monotonic() < end, unplaced.json()
        time.sleep(0.1)
    assert unplaced.json()["error_class"] == "nobody_to_ask"


def test_an_unanswered_placement_is_reported_after_the_end(gateway: Gateway) -> None:
    request_id, never = new_id(), new_id()
    place(gateway, request_id, "local", 1)
    for identity in (request_id, never):
        now = time.time()
        record(
            gateway, Outcome(request_id=identity, state="cancelled", submitted_at=now - 1, finished_at=now)
        )
    status = gateway.ask("GET", f"/v1/requests/{request_id}").json()
    assert (status["state"], status["backend"], status["attempts"]) == ("cancelled", "local", 1)
    assert len(gateway.ask("GET", f"/v1/placements/{request_id}").json()["steps"]) == 1
    assert "backend" not in gateway.ask("GET", f"/v1/requests/{never}").json()


def test_expired_submissions_are_purged_in_batches(gateway: Gateway) -> None:
    now = datetime.now(UTC)
    old, young = (now - timedelta(days=1)).timestamp(), now.timestamp()
    notes = [
        Submission(id=new_id(), model="m", submitted_at=until, deadline=None, until=until)
        for until in [old] * 5 + [young]
    ]
    with connected(gateway.database_url) as connection:
        insert_submissions(connection, notes)
        autocommit = connection.execution_options(isolation_level="AUTOCOMMIT")
        assert purge_submissions(autocommit, now, batch_size=2) >= 5
        assert [find_submission(connection, each.id) is not None for each in notes] == [False] * 5 + [True]


def test_requests_are_accepted_while_the_ledger_is_down(start_gateway: Start, system_url: str) -> None:
    lone = start_gateway(STRAIGHTLINE_KEY_SECONDS="600")
    assert lone.ask("POST", "/v1/requests", json=REQUEST).status_code == 202
    with connected(lone.database_url) as connection:
        connection.exec_driver_sql("LOCK TABLE submissions IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        taken = lone.ask("POST", "/v1/requests", json=REQUEST)
        assert (taken.status_code, time.monotonic() - began < 5) == (202, True)
        with pika.BlockingConnection(pika.URLParameters(system_url)) as broker:
            waiting = broker.channel().queue_declare(names.REQUEST_QUEUES[0], passive=True)
            assert waiting.method.message_count >= 2
    end = time.monotonic() + 20
    while True:  # and what could not be written is written when it is back
        with connected(lone.database_url) as connection:
            found = connection.exec_driver_sql(
                "SELECT count(*) FROM submissions WHERE id = %s", (taken.json()["id"],)
            ).scalar_one()
        if found:
            return
        assert time.monotonic() < end
        time.sleep(0.05)
