import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from outcomes.db.database import connected
from outcomes.db.errors import LedgerNotMigrated, LedgerUnavailable
from outcomes.queries.failures import failures
from outcomes.queries.outcomes import outcome_of
from outcomes.queries.summary import summary
from outcomes.recording.ledger import Ledger
from outcomes.rows.row_mapping import entry_of
from straightline.contracts import Attempt, Outcome
from straightline.errors import ConfigurationError, ContractError
from straightline.ids import new_id
from straightline.names import Backend

pytestmark = pytest.mark.integration
Make = Callable[..., Outcome]
T0 = 1_790_000_000.0
FAULTS: Final[list[tuple[int, Backend, str]]] = [
    (1, "serverless", "throttled"),
    (2, "gpu-container", "crashed"),
]


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(T0, UTC) + timedelta(seconds=seconds)


def _known(make_outcome: Make) -> list[Outcome]:
    """Four answered in 100..400 ms; one failed on serverless, then on the container; one rejected."""
    good = [
        make_outcome(finished_at=T0 + number, submitted_at=T0 + number - number / 10, batch_id="job")
        for number in (1, 2, 3, 4)
    ]
    for outcome in good:
        outcome.attempts[0].finished_at = outcome.finished_at
    (first,) = make_outcome().attempts
    assert first.reason is not None
    tries = [
        Attempt(
            number=number,
            backend=backend,
            succeeded=False,
            placed_at=T0,
            started_at=T0,
            finished_at=T0 + 5,
            reason=first.reason,
            error_class=error_class,
        )
        for number, backend, error_class in FAULTS
    ]
    failed = make_outcome(
        state="failed",
        finished_at=T0 + 5,
        model="other",
        backend="gpu-container",
        attempts=tries,
        error_class="crashed",
    )
    rejected = Outcome(request_id=new_id(), state="rejected", finished_at=T0 + 6, error_class="malformed")
    return [*good, failed, rejected]


@pytest.fixture
def known(migrated_database_url: str, make_outcome: Make) -> list[Outcome]:
    outcomes = _known(make_outcome)
    ledger = Ledger(migrated_database_url)
    ledger.write([entry_of(outcome, now=T0) for outcome in outcomes])
    ledger.close()
    return outcomes


def test_a_summary_counts_the_given_ids(migrated_database_url: str, known: list[Outcome]) -> None:
    ids = [outcome.request_id for outcome in known]
    with connected(migrated_database_url) as connection:
        found = summary(connection, ids=[*ids, ids[0], new_id(), new_id()])
    assert (found.outcomes, found.lost, found.duplicates) == (6, 2, 0)
    assert found.by_state == {"succeeded": 4, "failed": 1, "expired": 0, "cancelled": 0, "rejected": 1}
    assert found.by_rule == {1: 0, 2: 0, 3: 6, 4: 0, 5: 0}
    local, serverless = found.by_backend["local"], found.by_backend["serverless"]
    assert (local.placed, local.failed) == (4, 0)
    assert local.p50_ms == pytest.approx(250, abs=0.1)
    assert local.p95_ms == pytest.approx(385, abs=0.1)
    assert (serverless.placed, serverless.failed, serverless.p50_ms) == (1, 1, None)


def test_an_outcome_recorded_during_a_summary_counts_once(
    migrated_database_url: str, make_outcome: Make
) -> None:
    coming = [make_outcome(request_id=new_id()) for _ in range(400)]
    ids = [outcome.request_id for outcome in coming]
    ledger = Ledger(migrated_database_url)

    def record() -> None:
        for outcome in coming:
            ledger.write([entry_of(outcome, now=T0)])

    writer = threading.Thread(target=record)
    writer.start()
    with connected(migrated_database_url) as connection:
        while True:
            counted = summary(connection, ids=ids)
            connection.rollback()
            assert counted.outcomes + (counted.lost or 0) == len(ids)
            if not counted.lost:
                break
    writer.join()
    ledger.close()


def test_a_summary_can_cover_a_batch_or_a_window(migrated_database_url: str, known: list[Outcome]) -> None:
    with connected(migrated_database_url) as connection:
        assert summary(connection, batch_id="job").outcomes == 4
        assert summary(connection, since=_at(4), until=_at(6)).outcomes == 2
        assert summary(connection, ids=[]).outcomes == 0
        assert summary(connection).lost is None


def test_cold_starts_are_counted_where_they_happened(migrated_database_url: str, make_outcome: Make) -> None:
    warm, cold, colder = (make_outcome(finished_at=T0 + 1) for _ in range(3))
    for outcome, seconds in ((warm, None), (cold, 0.5), (colder, 1.5)):
        outcome.attempts[0].finished_at, outcome.attempts[0].cold_start = outcome.finished_at, seconds
    ledger = Ledger(migrated_database_url)
    ledger.write([entry_of(outcome, now=T0) for outcome in (warm, cold, colder)])
    ledger.close()
    with connected(migrated_database_url, name="test") as connection:
        found = failures(connection, _at(0), _at(10))
    for (rate,) in (found.by_backend, found.by_model):
        assert (rate.attempts, rate.cold_starts, rate.cold_start) == (3, 2, 1.0)


def test_failure_rates_cover_the_window_and_the_model(
    migrated_database_url: str, known: list[Outcome]
) -> None:
    with connected(migrated_database_url) as connection:
        whole = failures(connection, _at(0), _at(10))
        early = failures(connection, _at(0), _at(3))
        other = failures(connection, _at(0), _at(10), model="other")
    by_backend = {rate.name: rate for rate in whole.by_backend}
    assert by_backend["serverless"].attempt_failure_rate == 1.0
    assert by_backend["serverless"].failure_rate is None
    assert (by_backend["gpu-container"].outcomes_failed, by_backend["gpu-container"].failure_rate) == (1, 1.0)
    assert (by_backend["local"].attempts, by_backend["local"].failure_rate) == (4, 0.0)
    assert (by_backend[None].rejected, by_backend[None].errors) == (1, {"malformed": 1})
    assert [(rate.name, rate.outcomes) for rate in early.by_model] == [("digits", 2)]
    assert [(rate.name, rate.attempts, rate.attempts_failed) for rate in other.by_model] == [("other", 2, 2)]


def test_an_unknown_id_has_no_outcome_and_an_invalid_id_is_an_error(migrated_database_url: str) -> None:
    with connected(migrated_database_url) as connection:
        assert outcome_of(connection, new_id()) is None
        with pytest.raises(ContractError, match="not a UUID"):
            outcome_of(connection, "seven")


def test_database_errors_say_what_to_do(database_url: str) -> None:
    with pytest.raises(LedgerNotMigrated, match="python -m outcomes migrate"), connected(database_url) as c:
        summary(c)
    with (
        pytest.raises(LedgerUnavailable, match="check that it is running"),
        connected("postgresql+psycopg2://x@127.0.0.1:1/x"),
    ):
        pass
    for url in ("nonsense", "sqlite://", "postgresql+nothing://x/y"):
        with pytest.raises(ConfigurationError, match="STRAIGHTLINE_DATABASE_URL"), connected(url):
            pass
