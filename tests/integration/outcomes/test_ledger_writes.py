import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from sqlalchemy import create_engine, make_url

from outcomes.db.database import connected
from outcomes.db.errors import LedgerUnavailable
from outcomes.queries.outcomes import duplicate_requests_of, outcome_of
from outcomes.queries.query_results import DuplicateRequests
from outcomes.queries.summary import summary
from outcomes.recording.ledger import SOCKET_TIMEOUT_FACTOR, Ledger, Written
from outcomes.rows.row_mapping import entry_of
from straightline.contracts import Outcome, Recall
from tests.faults.harness.proxy import LinkState, Proxy

pytestmark = pytest.mark.integration
Make = Callable[..., Outcome]


@pytest.fixture
def ledger(migrated_database_url: str) -> Any:
    made = Ledger(migrated_database_url)
    yield made
    made.close()


def test_a_silent_database_is_given_up(migrated_database_url: str, make_outcome: Make) -> None:
    url = make_url(migrated_database_url)
    line = Proxy(url.port or 5432)
    through = url.set(host="127.0.0.1", port=line.port).render_as_string(hide_password=False)
    ledger = Ledger(through, statement_timeout=0.25)
    outcome = make_outcome()
    try:
        assert ledger.write(_entries([make_outcome()])) == Written(new=1)
        line.set_state(LinkState.HALF_OPEN)
        began = time.monotonic()
        with pytest.raises(LedgerUnavailable):
            ledger.write(_entries([outcome]))
        assert SOCKET_TIMEOUT_FACTOR * 0.25 <= time.monotonic() - began < 5
        line.set_state(LinkState.CLEAR)
        assert ledger.write(_entries([outcome])) == Written(new=1)
    finally:
        ledger.close()
        line.close()


def _entries(outcomes: list[Outcome]) -> list[Any]:
    return [entry_of(outcome, now=0.0) for outcome in outcomes]


def test_an_outcome_is_restored_as_it_was_delivered(
    ledger: Ledger, migrated_database_url: str, make_outcome: Make
) -> None:
    outcome = make_outcome(finished_at=1_795_000_000.123456, submitted_at=None, error="\u00e9\t\n\\N")
    assert ledger.write(_entries([outcome])) == Written(new=1)
    with connected(migrated_database_url) as connection:
        found = outcome_of(connection, outcome.request_id)
    assert found is not None
    one, other = (msgspec.json.decode(msgspec.json.encode(each)) for each in (found, outcome))
    assert _rounded(one) == _rounded(other)


def test_writing_again_changes_nothing_and_another_execution_is_recorded_as_duplicate(
    ledger: Ledger, migrated_database_url: str, make_outcome: Make
) -> None:
    outcomes = [make_outcome() for _ in range(5)]
    recall = Recall(request_id=outcomes[0].request_id, digest="x", conflict=True, seen_at=7.0)
    assert ledger.write(_entries(outcomes), [recall]) == Written(new=5)
    assert ledger.write(_entries(outcomes), [recall]) == Written(redelivered=5)
    second = msgspec.structs.replace(outcomes[0], finished_at=outcomes[0].finished_at + 1, state="failed")
    for _ in range(2):
        assert ledger.write(_entries([second])) == Written(duplicates=1)
    with connected(migrated_database_url) as connection:
        found = summary(connection, ids=[outcome.request_id for outcome in outcomes])
        kept = outcome_of(connection, outcomes[0].request_id)
        again = [duplicate_requests_of(connection, outcome.request_id) for outcome in outcomes[:2]]
    assert again == [DuplicateRequests(1, 1), DuplicateRequests(0, 0)]
    assert (found.outcomes, found.lost, found.duplicates, found.repeats) == (5, 0, 1, 1)
    assert kept is not None
    assert kept.state == "succeeded"


def test_racing_recorders_leave_one_outcome_per_request(
    migrated_database_url: str, make_outcome: Make
) -> None:
    outcomes = [make_outcome() for _ in range(300)]
    racers = 4
    start = threading.Barrier(racers)
    results: list[Written] = []

    def race(number: int) -> None:
        mine = [
            msgspec.structs.replace(outcome, finished_at=outcome.finished_at + number) for outcome in outcomes
        ]
        ledger = Ledger(migrated_database_url)
        start.wait()
        for at in range(0, 300, 50):
            part = mine[at : at + 50]
            results.append(ledger.write(_entries(part if number % 2 else part[::-1])))
        ledger.close()

    threads = [threading.Thread(target=race, args=(number,)) for number in range(racers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(written.new for written in results) == 300
    with connected(migrated_database_url) as connection:
        found = summary(connection)
    assert (found.outcomes, found.duplicates) == (300, 900)
    assert sum(backend.placed for backend in found.by_backend.values()) == 300


def test_values_that_postgres_cannot_hold_are_sanitized_and_the_row_is_written(
    ledger: Ledger, migrated_database_url: str, make_outcome: Make
) -> None:
    raw = b'{"model_name":"\\u0000 \\ud800 ' + b"\xff\xfe" + b'"}'
    outcome = make_outcome(
        error="nul \x00 here",
        error_class="\x00",
        batch_id="\U0001f600" * 5000,
        r_d=1 << 80,
        cost=float("inf"),
        submitted_at=1e300,
        result=msgspec.Raw(raw),
        model="m\x00",
    )
    outcome.attempts[0].error = "\ud800 \x00"
    outcome.attempts[0].worker = "w" * 100_000
    outcome.attempts[0].number = 1 << 40
    reason = outcome.attempts[0].reason
    assert reason is not None
    outcome.attempts[0].reason = msgspec.structs.replace(
        reason, f_t=float("nan"), refused={"a\x00": "b\x00\\"}, rule=1 << 70
    )
    ledger.write(_entries([outcome]))
    with connected(migrated_database_url) as connection:
        found = outcome_of(connection, outcome.request_id)
    assert found is not None
    assert bytes(found.result) == raw
    assert found.error == "nul \ufffd here"
    assert (found.submitted_at, found.cost) == (None, None)


def test_a_dead_connection_is_replaced(
    ledger: Ledger, migrated_database_url: str, make_outcome: Make
) -> None:
    ledger.write(_entries([make_outcome()]))
    engine = create_engine(migrated_database_url)
    with engine.connect() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'straightline-recorder' AND datname = current_database()"
        )
    engine.dispose()
    outcome = make_outcome()
    with pytest.raises(Exception, match=r"does not answer|cannot do it now"):
        ledger.write(_entries([outcome]))
    assert ledger.write(_entries([outcome])) == Written(new=1)


def _rounded(value: Any) -> Any:
    """Round times to the microsecond, as Postgres stores them."""
    if isinstance(value, dict):
        return {key: _rounded(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_rounded(member) for member in value]
    return round(value, 6) if isinstance(value, float) else value
