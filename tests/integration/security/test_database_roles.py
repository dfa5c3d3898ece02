"""Each of the database's roles can do its work and nothing else. Tried on a database, table by table."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from outcomes.db.database import engine_for
from outcomes.queries.version_rates import version_rates
from outcomes.schema.partitions import create_ahead
from outcomes.schema.roles import GRANTS, create_roles
from outcomes.schema.tables import METADATA

pytestmark = pytest.mark.integration

TABLES = sorted(METADATA.tables)
KINDS: dict[str, str] = {
    "SELECT": "SELECT 1 FROM {table} LIMIT 0",
    "INSERT": "INSERT INTO {table} DEFAULT VALUES",
    "UPDATE": "UPDATE {table} SET {column} = {column} WHERE false",
    "DELETE": "DELETE FROM {table} WHERE false",
    "TRUNCATE": "TRUNCATE {table}",
    "DROP": "DROP TABLE {table}",
    "ALTER": "ALTER TABLE {table} ADD COLUMN more int",
    "LOCK": "LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE",
}
ONE = "SELECT {column} FROM {table} LIMIT 0"
READ = {"outcomes", "attempts", "duplicate_requests", "duplicate_outcomes", "placements"}
MODELS = {"model_versions", "model_aliases", "model_changes"}
MAY: dict[str, dict[str, set[str]]] = {
    "recorder": {"SELECT": READ, "INSERT": READ},
    "reconciler": {
        "SELECT": {"outcomes", "attempts", "placements", "dead_letters", "submissions"} | MODELS,
        "INSERT": {"dead_letters", "model_changes"},
        "UPDATE": {"dead_letters"},
        "DELETE": {"submissions"},
    },
    "reader": {"SELECT": READ | {"dead_letters"} | MODELS},
    "gateway": {
        "SELECT": READ | {"api_keys", "submissions", "webhooks", "batch_jobs", "batch_refusals"},
        "INSERT": {"submissions", "webhooks", "batch_jobs"},
        "DELETE": {"webhooks"},
    },
    "batches": {
        "SELECT": {"outcomes", "attempts", "batch_jobs", "batch_refusals", "webhooks"},
        "INSERT": {"batch_refusals", "webhook_deliveries"},
        "UPDATE": {"batch_jobs"},
    },
    "deployer": {
        "SELECT": {"outcomes", "attempts"} | MODELS,
        "INSERT": MODELS,
        "UPDATE": {"model_versions", "model_aliases"},
        "DELETE": {"model_versions"},
    },
    "webhooks": {
        "SELECT": {"webhooks", "webhook_deliveries"},
        "INSERT": {"webhook_deliveries"},
        "UPDATE": {"webhook_deliveries"},
    },
}
"""Which statements each role may run on which tables."""
LOCKING = {"INSERT", "UPDATE", "DELETE"}
"""Before Postgres 16 a role with one of the last two may lock a table; locks are tested separately."""


@contextmanager
def _engine(url: str) -> Iterator[Engine]:
    engine = create_engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


def may(connection: Connection, statement: str) -> bool:
    """Try a statement and undo it; False where it is refused for want of a right."""
    transaction = connection.begin()
    try:
        connection.execute(text(statement))
    except DBAPIError as error:
        return bool(getattr(error.orig, "pgcode", None) != "42501")  # another fault comes after the rights
    finally:
        transaction.rollback()
    return True


def _column(table: str) -> str:
    return METADATA.tables[table].columns.keys()[0]


def test_the_table_of_this_test_is_complete() -> None:
    assert set(MAY) == set(GRANTS)


@pytest.mark.parametrize("role", MAY)
def test_a_role_has_its_permissions_and_no_other(role: str, role_urls: dict[str, str]) -> None:
    with _engine(role_urls[role]) as engine, engine.connect() as connection:
        found = {
            kind: {
                table
                for table in TABLES
                if may(connection, statement.format(table=table, column=_column(table)))
            }
            for kind, statement in KINDS.items()
            if kind != "LOCK"
        }
        locked = {table for table in TABLES if may(connection, KINDS["LOCK"].format(table=table))}
        assert locked <= set().union(*(MAY[role].get(kind, set()) for kind in LOCKING))
    assert {kind: tables for kind, tables in found.items() if tables} == MAY[role]


@pytest.mark.parametrize("role", MAY)
def test_a_role_creates_no_objects(role: str, role_urls: dict[str, str]) -> None:
    with _engine(role_urls[role]) as engine, engine.connect() as connection:
        for statement in (
            "CREATE TABLE own (x int)",
            "CREATE FUNCTION own() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "CREATE ROLE own",
            "CREATE SCHEMA own",
            "SELECT * FROM alembic_version",
            "SELECT * FROM outcomes_default",
            "SELECT pg_read_file('/etc/passwd')",
            "COPY outcomes TO PROGRAM 'true'",
            "SELECT rolpassword FROM pg_authid",
        ):
            assert not may(connection, statement), statement


def test_the_reconciler_makes_partitions_and_cannot_drop_them(role_urls: dict[str, str]) -> None:
    with _engine(role_urls["reconciler"]) as engine:
        far = datetime.now(UTC) + timedelta(days=100)
        assert create_ahead(engine, far) > 0
        assert create_ahead(engine, far) == 0
        with engine.connect() as connection:
            assert not may(connection, f'DROP TABLE "outcomes_{far:%Y%m%d}"')
            assert not may(connection, "SELECT make_partition('api_keys', current_date)")
            assert may(connection, "UPDATE placements SET due_at = NULL, checks = 0 WHERE false")
            assert not may(connection, "UPDATE placements SET replies = NULL WHERE false")
    for role in set(MAY) - {"reconciler"}:
        with _engine(role_urls[role]) as engine, engine.connect() as connection:
            assert not may(connection, "SELECT make_partition('outcomes', date '2050-01-01')"), role


def test_the_deployer_counts_outcomes_and_reads_none(role_urls: dict[str, str]) -> None:
    read = {
        "outcomes": {"request_id", "model", "version", "state", "error_class", "attempts", "finished_at"},
        "attempts": {"request_id", "succeeded", "error_class", "cold_start"},
    }
    with _engine(role_urls["deployer"]) as engine, engine.connect() as connection:
        for table, columns in read.items():
            there = METADATA.tables[table].columns.keys()
            found = {column for column in there if may(connection, ONE.format(column=column, table=table))}
            assert found == columns
        version_rates(connection, datetime.now(UTC) - timedelta(hours=1))


def test_the_batch_role_reads_no_secret(role_urls: dict[str, str]) -> None:
    with _engine(role_urls["batches"]) as engine, engine.connect() as connection:
        there = METADATA.tables["webhooks"].columns.keys()
        found = [column for column in there if may(connection, ONE.format(column=column, table="webhooks"))]
        assert found == ["id"]


def test_a_temporary_table_does_not_shadow_the_functions_tables(role_urls: dict[str, str]) -> None:
    with _engine(role_urls["reconciler"]) as engine, engine.connect() as connection:
        connection.execute(text("CREATE TEMPORARY TABLE outcomes_default (x int)"))
        connection.execute(text("SELECT make_partition('outcomes', date '2060-01-01')"))
        found = text("SELECT count(*) FROM pg_inherits WHERE inhrelid = 'public.outcomes_20600101'::regclass")
        assert connection.execute(found).scalar_one() == 1


def test_a_wrong_password_is_refused(role_urls: dict[str, str]) -> None:
    wrong = role_urls["reader"].replace("@", "x@")
    with _engine(wrong) as engine, pytest.raises(OperationalError, match="password authentication failed"):
        engine.connect()


def test_passwords_are_not_sent_in_clear(
    migrated_database_url: str, monkeypatch: pytest.MonkeyPatch, capture_statements: Callable[..., list[Any]]
) -> None:
    engine = engine_for(migrated_database_url, name="test")
    said = capture_statements(engine)
    with engine.connect() as connection:
        create_roles(connection, {"reader": "canary-canary-canary"}, prefix="test_clear_")
        connection.rollback()
    engine.dispose()
    assert any("SCRAM-SHA-256$" in statement for statement in said)
    assert "canary" not in "".join(said)


@pytest.fixture
def capture_statements() -> Callable[[Engine], list[str]]:
    from sqlalchemy import event  # noqa: PLC0415

    def start(engine: Engine) -> list[str]:
        said: list[str] = []
        event.listen(engine, "before_cursor_execute", lambda _c, _k, statement, *_: said.append(statement))
        return said

    return start
