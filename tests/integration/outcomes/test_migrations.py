from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, inspect, text

from outcomes.db.errors import LedgerUnavailable
from outcomes.queries.outcomes import outcomes_of
from outcomes.recording.ledger import Ledger
from outcomes.rows.row_mapping import entry_of
from outcomes.schema.migrate import downgrade, upgrade
from outcomes.schema.partitions import create_ahead
from outcomes.schema.tables import METADATA, PARTITIONED
from straightline.contracts import Outcome

pytestmark = pytest.mark.integration


def _tables(connection: Connection) -> set[str]:
    """Return the names of all tables except partitions."""
    found = connection.exec_driver_sql(
        "SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE nspname = 'public' AND relkind IN ('r', 'p') AND NOT relispartition"
    )
    return {row[0] for row in found}


def _same(connection: Connection) -> list[Any]:
    ours = _tables(connection)
    options = {
        "compare_server_default": True,
        "include_name": lambda name, kind, _parents: kind != "table" or name in ours,
    }
    return compare_metadata(MigrationContext.configure(connection, opts=options), METADATA)


def test_migrations_create_the_tables_of_the_code_and_can_be_undone(database_url: str) -> None:
    engine = create_engine(database_url)
    for _ in range(2):
        upgrade(database_url)
        upgrade(database_url)
        with engine.connect() as connection:
            assert _same(connection) == []
            assert _tables(connection) == {*METADATA.tables, "alembic_version"}
            assert "outcomes_state" in {
                check["name"] for check in inspect(connection).get_check_constraints("outcomes")
            }
            partitioned = connection.execute(
                text("SELECT partrelid::regclass::text FROM pg_partitioned_table")
            )
            assert {name for (name,) in partitioned} == {table.name for table in PARTITIONED}
        downgrade(database_url)
        with engine.connect() as connection:
            assert inspect(connection).get_table_names() == ["alembic_version"]
    engine.dispose()


def test_rows_from_before_partitioning_survive_upgrade_and_downgrade(
    database_url: str, make_outcome: Callable[..., Outcome]
) -> None:
    old = make_outcome(request_id="0180c1b0-0000-7000-8000-000000000001")
    random = make_outcome(request_id="c9bf9e57-1685-4c89-bafb-ff5af830be8a")
    outcomes = [old, random, make_outcome()]
    ids = [outcome.request_id for outcome in outcomes]
    upgrade(database_url, "0001")
    _write(database_url, outcomes)
    upgrade(database_url)
    engine = create_engine(database_url)
    create_ahead(engine, datetime.now(UTC))
    _write(database_url, [*outcomes, make_outcome()])
    with engine.connect() as connection:
        found = outcomes_of(connection, ids)
        assert set(found) == set(ids)
        assert all((kept.state, len(kept.attempts)) == ("succeeded", 1) for kept in found.values())
        assert connection.exec_driver_sql("SELECT count(*) FROM outcomes_default").scalar_one() == 2
        assert connection.exec_driver_sql("SELECT count(*) FROM outcomes").scalar_one() == 4
    downgrade(database_url, "0001")
    with engine.connect() as connection:
        assert set(outcomes_of(connection, ids)) == set(ids)
    _write(database_url, outcomes)
    engine.dispose()


def test_renaming_the_tables_of_duplicates_keeps_rows_partitions_and_grants(database_url: str) -> None:
    upgrade(database_url, "0012")
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("SELECT make_partition('repeats', '2026-01-02')")
        connection.exec_driver_sql(
            "INSERT INTO repeats VALUES (gen_random_uuid(), now(), 'd', true),"
            " ('019b7c37-f280-7000-8000-000000000001', now(), 'd', false)"
        )
        connection.exec_driver_sql("INSERT INTO surplus VALUES (gen_random_uuid(), now(), 'failed', 'local')")
        connection.exec_driver_sql("GRANT SELECT ON repeats TO PUBLIC")
    upgrade(database_url)
    with engine.connect() as connection:
        assert _named(connection, "repeats|surplus") == set()
        assert {"duplicate_requests_20260102", "duplicate_requests_20260102_pkey"} <= _named(
            connection, "duplicate_"
        )
        count = "SELECT count(*) FROM duplicate_{}"
        assert connection.exec_driver_sql(count.format("requests_default")).scalar_one() == 1
        assert connection.exec_driver_sql(count.format("requests_20260102")).scalar_one() == 1
        assert connection.exec_driver_sql(count.format("outcomes")).scalar_one() == 1
        granted = "SELECT has_table_privilege('pg_monitor', 'duplicate_requests', 'SELECT')"
        assert connection.exec_driver_sql(granted).scalar_one()
    assert create_ahead(engine, datetime.now(UTC)) > 0
    downgrade(database_url, "0012")
    with engine.connect() as connection:
        assert _named(connection, "duplicate_") == set()
        assert connection.exec_driver_sql("SELECT count(*) FROM repeats").scalar_one() == 2
    engine.dispose()


def test_a_rename_gives_up_while_a_table_is_locked_and_succeeds_afterwards(database_url: str) -> None:
    upgrade(database_url, "0012")
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("LOCK TABLE surplus IN ACCESS SHARE MODE")
        with pytest.raises(LedgerUnavailable, match="lock timeout"):
            upgrade(database_url)
    upgrade(database_url)
    with engine.connect() as connection:
        assert _same(connection) == []
    engine.dispose()


def _named(connection: Connection, pattern: str) -> set[str]:
    found = connection.execute(
        text("SELECT relname FROM pg_class WHERE relname ~ :pattern"), {"pattern": f"^({pattern})"}
    )
    return {row[0] for row in found}


def _write(url: str, outcomes: list[Outcome]) -> None:
    ledger = Ledger(url)
    ledger.write([entry_of(outcome, now=0.0) for outcome in outcomes])
    ledger.close()
