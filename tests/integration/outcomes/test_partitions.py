"""Daily partitions: created ahead, filled, queried and dropped."""

import io
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, event

from outcomes.cli import main
from outcomes.db.database import engine_for
from outcomes.db.errors import LedgerUnavailable
from outcomes.queries.failures import failures
from outcomes.queries.keys import create_key
from outcomes.queries.outcomes import outcomes_of
from outcomes.recording.ledger import Ledger
from outcomes.rows.row_mapping import entry_of
from outcomes.schema.partitions import create_ahead, retain
from outcomes.schema.tables import PARTITIONED
from outcomes.schema.uuid7_ranges import lowest_id
from straightline.contracts import Outcome
from straightline.errors import ConfigurationError

pytestmark = pytest.mark.integration
Make = Callable[..., Outcome]
NOW = datetime.now(UTC)


@pytest.fixture
def engine(migrated_database_url: str) -> Iterator[Engine]:
    made = create_engine(migrated_database_url)
    yield made
    made.dispose()


def _asked(engine: Engine, sql: str) -> list[Any]:
    with engine.connect() as connection:
        return [row[0] for row in connection.exec_driver_sql(sql)]


def _where(engine: Engine) -> list[str]:
    return _asked(engine, "SELECT DISTINCT tableoid::regclass::text FROM outcomes ORDER BY 1")


def _id(at: datetime) -> str:
    return str(
        uuid.UUID(int=uuid.UUID(lowest_id(at)).int | 0x7 << 76 | 0x2 << 62 | uuid.uuid4().int & 0xFFFF)
    )


def _write(url: str, outcomes: list[Outcome]) -> None:
    ledger = Ledger(url)
    ledger.write([entry_of(outcome, now=0.0) for outcome in outcomes])
    ledger.close()


def test_partitions_are_created_ahead_once_for_every_table(engine: Engine) -> None:
    assert create_ahead(engine, NOW) == 15 * len(PARTITIONED)
    assert create_ahead(engine, NOW + timedelta(days=7)) == 0
    assert create_ahead(engine, NOW + timedelta(days=8)) == 8 * len(PARTITIONED)


def test_two_processes_can_create_partitions_at_once(engine: Engine, migrated_database_url: str) -> None:
    counts: list[int] = []

    def make() -> None:
        mine = create_engine(migrated_database_url)
        counts.append(create_ahead(mine, NOW))
        mine.dispose()

    threads = [threading.Thread(target=make) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(counts) == 15 * len(PARTITIONED)


def test_rows_that_precede_their_partition_move_there_and_stay_unique(
    engine: Engine, migrated_database_url: str, make_outcome: Make
) -> None:
    random = make_outcome(request_id="c9bf9e57-1685-4c89-bafb-ff5af830be8a")
    soon = make_outcome(request_id=_id(NOW + timedelta(days=3)))
    outcomes = [make_outcome(), soon, random]
    _write(migrated_database_url, outcomes)
    assert _where(engine) == ["outcomes_default"]
    create_ahead(engine, NOW)
    assert _where(engine) == [
        f"outcomes_{NOW:%Y%m%d}",
        f"outcomes_{NOW + timedelta(days=3):%Y%m%d}",
        "outcomes_default",
    ]
    _write(migrated_database_url, outcomes)
    assert _asked(engine, "SELECT count(*) FROM outcomes") == [3]
    with engine.connect() as connection:
        assert len(outcomes_of(connection, [outcome.request_id for outcome in outcomes])) == 3


def test_old_partitions_are_dropped_and_old_rows_outside_them_deleted(
    engine: Engine, migrated_database_url: str, make_outcome: Make
) -> None:
    old = NOW - timedelta(days=40)
    create_ahead(engine, old)
    create_ahead(engine, NOW)
    random = "c9bf9e57-1685-4c89-bafb-ff5af830be8a"
    _write(
        migrated_database_url,
        [
            make_outcome(request_id=_id(old), finished_at=old.timestamp()),
            make_outcome(request_id=random, finished_at=old.timestamp()),
            make_outcome(request_id="e" + random[1:]),
            make_outcome(request_id=_id(NOW - timedelta(days=29))),
            make_outcome(),
        ],
    )
    done = retain(engine, NOW, timedelta(days=30))
    assert done.rows == 1
    assert len(done.partitions) == 10 * len(PARTITIONED)
    assert f"attempts_{old:%Y%m%d}" in done.partitions
    assert _asked(engine, "SELECT count(*) FROM outcomes") == [3]
    assert retain(engine, NOW, timedelta(days=30)).partitions == []


def test_old_jobs_and_webhook_deliveries_are_deleted(engine: Engine) -> None:
    old, young = NOW - timedelta(days=40), NOW - timedelta(days=5)
    with engine.begin() as connection:
        key, _ = create_key(connection, "k", ("batch",))
    with engine.begin() as connection:
        for state, ended in (("done", old), ("failed", young), ("running", None)):
            job = _id(old)
            connection.exec_driver_sql(
                "INSERT INTO batch_jobs (id, key_id, uri, size, defaults, state, created_at, finished_at)"
                " VALUES (%s, %s, 'x', 1, '{}', %s, %s, %s)",
                (job, key.id, state, old, ended),
            )
            connection.exec_driver_sql(
                "INSERT INTO batch_refusals VALUES (%s, 1, 'malformed', 'why')", (job,)
            )
        hook = _id(old)
        connection.exec_driver_sql(
            "INSERT INTO webhooks (id, key_id, url, secret) VALUES (%s, %s, 'https://a/', 's')",
            (hook, key.id),
        )
        for made, due in ((old, None), (young, None), (old, NOW)):
            connection.exec_driver_sql(
                "INSERT INTO webhook_deliveries (id, webhook_id, request_id, body, next_at)"
                " VALUES (%s, %s, %s, '', %s)",
                (_id(made), hook, _id(made), due),
            )
    assert retain(engine, NOW, timedelta(days=30)).rows == 2
    assert _asked(engine, "SELECT state FROM batch_jobs ORDER BY 1") == ["failed", "running"]
    assert _asked(engine, "SELECT count(*) FROM batch_refusals") == [2]
    assert _asked(engine, "SELECT count(*) FROM webhook_deliveries") == [2]
    assert _asked(engine, "SELECT count(*) FROM webhooks") == [1]


def test_a_retention_below_two_days_is_refused(engine: Engine) -> None:
    with pytest.raises(ConfigurationError, match="at least 2 days"):
        retain(engine, NOW, timedelta(hours=47))


def test_waiting_for_a_lock_is_bounded(engine: Engine, migrated_database_url: str) -> None:
    hurried = engine_for(migrated_database_url, name="test", lock_timeout=0.2)
    with engine.begin() as connection:
        connection.exec_driver_sql("LOCK TABLE outcomes_default IN ACCESS SHARE MODE")
        with pytest.raises(LedgerUnavailable, match="lock timeout"):
            create_ahead(hurried, NOW)
    assert create_ahead(hurried, NOW) == 15 * len(PARTITIONED)
    hurried.dispose()


def test_recording_continues_while_a_partition_is_created(engine: Engine, migrated_database_url: str) -> None:
    create_ahead(engine, NOW)
    with engine.begin() as writer:
        writer.exec_driver_sql(
            "INSERT INTO outcomes (request_id, state, attempts, finished_at) VALUES (%s, 'failed', 0, now())",
            (_id(NOW),),
        )
        other = engine_for(migrated_database_url, name="test", lock_timeout=2)
        assert create_ahead(other, NOW + timedelta(days=10)) > 0
        other.dispose()


def _plan(engine: Engine, question: Callable[[Connection], Any], table: str) -> str:
    """Return the plan of the first statement that reads `table`, without sequential scans."""
    plans: list[str] = []

    def explain(connection: Connection, _cursor: Any, sql: str, parameters: Any, *_: Any) -> None:
        driver: Any = connection.connection.driver_connection
        with driver.cursor() as cursor:
            cursor.execute(f"EXPLAIN {sql}", parameters)
            plans.append("\n".join(row[0] for row in cursor.fetchall()))

    with engine.connect() as connection:
        connection.exec_driver_sql("SET enable_seqscan = off")
        event.listen(connection, "before_cursor_execute", explain)
        question(connection)
    return next(plan for plan in plans if table in plan)


def test_queries_by_id_scan_only_the_days_of_the_ids(
    engine: Engine, migrated_database_url: str, make_outcome: Make
) -> None:
    create_ahead(engine, NOW)
    outcome = make_outcome()
    _write(migrated_database_url, [outcome])
    plan = _plan(engine, lambda connection: outcomes_of(connection, [outcome.request_id]), "outcomes_2")
    today = datetime.now(UTC)
    assert f"outcomes_{today:%Y%m%d}" in plan
    assert f"outcomes_{today + timedelta(days=1):%Y%m%d}" not in plan
    assert "default" not in plan


def test_queries_by_window_use_the_index_of_each_day(engine: Engine) -> None:
    create_ahead(engine, NOW)
    plan = _plan(engine, lambda connection: failures(connection, NOW - timedelta(hours=1)), "outcomes_2")
    assert "Seq Scan" not in plan
    assert plan.count("finished_at_idx") + plan.count("outcomes_default_finished_at") == 16


def test_retention_is_one_command(
    migrated_database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STRAIGHTLINE_DATABASE_URL", migrated_database_url)
    assert main(["retain", "--keep", "30d"]) == 0
    assert capsys.readouterr().out == "Dropped 0 partitions and 0 rows outside daily partitions.\n"
    assert main(["retain", "--keep", "1d"]) == 2
    assert "at least 2 days" in capsys.readouterr().err


def test_copy_routes_rows_to_their_days(engine: Engine) -> None:
    create_ahead(engine, NOW)
    rows = "".join(f"{_id(NOW + timedelta(days=day))}\tfailed\t0\t2026-01-01\n" for day in (0, 1, 2, 40))
    with engine.begin() as connection:
        driver: Any = connection.connection.driver_connection
        driver.cursor().copy_expert(
            "COPY outcomes (request_id, state, attempts, finished_at) FROM STDIN", io.StringIO(rows)
        )
    assert len(_where(engine)) == 4


def test_readers_find_rows_while_they_move_to_a_new_partition(
    engine: Engine, migrated_database_url: str, make_outcome: Make
) -> None:
    _write(migrated_database_url, [make_outcome()])
    assert _where(engine) == ["outcomes_default"]
    found: list[int] = []
    reader = threading.Thread(target=lambda: found.extend(_asked(engine, "SELECT count(*) FROM outcomes")))
    with engine.begin() as connection:
        _make_partition(connection, "outcomes")
        reader.start()
        _blocked(engine, 1)
    reader.join(20)
    assert found == [1]


def test_readers_find_rows_written_while_partition_creation_starts(engine: Engine) -> None:
    """There is none at the first check, and the writer that it then waits for commits one."""
    found: list[int] = []
    maker = threading.Thread(target=lambda: _make(engine, "outcomes"))
    reader = threading.Thread(target=lambda: found.extend(_asked(engine, "SELECT count(*) FROM outcomes")))
    with engine.begin() as writer:
        writer.exec_driver_sql(
            "INSERT INTO outcomes (request_id, state, attempts, finished_at) VALUES (%s, 'failed', 0, now())",
            (_id(NOW),),
        )
        maker.start()
        _blocked(engine, 1)
        reader.start()
        _blocked(engine, 2)
    maker.join(20)
    reader.join(20)
    assert found == [1]


@pytest.mark.parametrize("table", ["outcomes", "attempts"])
def test_an_outcome_that_arrives_during_partition_creation_is_recorded(
    engine: Engine, migrated_database_url: str, make_outcome: Make, table: str
) -> None:
    """It is routed to the default partition, whose constraint rejects it by then."""
    outcome, written = make_outcome(), threading.Event()

    def record() -> None:
        ledger, entry = Ledger(migrated_database_url), entry_of(outcome, now=0.0)
        while not written.is_set():
            with suppress(LedgerUnavailable):
                ledger.write([entry])
                written.set()
        ledger.close()

    with engine.begin() as connection:
        _make_partition(connection, table)
        writer = threading.Thread(target=record, daemon=True)  # it would try for ever
        writer.start()
        _blocked(engine, 1)
    assert written.wait(20)
    writer.join(20)
    assert _asked(engine, "SELECT state FROM outcomes") == ["succeeded"]
    assert _asked(engine, "SELECT count(*) FROM attempts") == [1]


def _make(engine: Engine, table: str) -> None:
    with engine.begin() as connection:
        _make_partition(connection, table)


def _make_partition(connection: Connection, table: str) -> None:
    connection.exec_driver_sql("SELECT make_partition(%s, %s)", (table, datetime.now(UTC).date()))


def _blocked(engine: Engine, count: int) -> None:
    """Wait until a number of sessions of this database wait for a lock."""
    waiting = (
        "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database"
        " WHERE NOT granted AND datname = current_database()"
    )
    end = time.monotonic() + 20
    while _asked(engine, waiting)[0] < count:
        assert time.monotonic() < end
