"""Engines and connections to Postgres, with its errors translated."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2.errors
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, NoSuchModuleError, OperationalError

from outcomes.errors import LedgerNotMigrated, LedgerRefused, LedgerUnavailable
from straightline.errors import ConfigurationError, StraightLineError

MIGRATE = "python -m outcomes migrate"

_LATER = (
    psycopg2.errors.ReadOnlySqlTransaction,
    psycopg2.errors.QueryCanceled,
    psycopg2.errors.LockNotAvailable,
    psycopg2.errors.IdleInTransactionSessionTimeout,
    psycopg2.errors.SerializationFailure,
    psycopg2.errors.DeadlockDetected,
    psycopg2.errors.InsufficientPrivilege,
    psycopg2.errors.UndefinedTable,  # a recorder may start before the migration
    psycopg2.errors.UndefinedColumn,
)
"""Besides SQLSTATE classes 08, 53, 57 and 58: not the row's fault, so the same row may be written later."""


def engine_for(
    url: str, *, name: str, statement_timeout: float = 0.0, lock_timeout: float = 0.0, pool_size: int = 1
) -> Engine:
    """Make an engine; nothing is connected yet.

    Args:
        url: `postgresql+psycopg2://user:password@host:port/database`.
        name: what `pg_stat_activity` shows.
        statement_timeout: seconds that a statement may take; 0 for no limit.
        lock_timeout: seconds that it may wait for a lock; 0 for no limit.
        pool_size: most connections kept.

    Raises:
        ConfigurationError: the URL is none.
    """
    options = f"-c statement_timeout={statement_timeout * 1000:.0f} -c lock_timeout={lock_timeout * 1000:.0f}"
    try:
        engine = create_engine(
            url,
            pool_size=pool_size,
            max_overflow=0,
            connect_args={
                "connect_timeout": 5,
                "application_name": name,
                "options": options,
                # A server that vanished without a word is noticed within half a minute.
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": 20_000,
            },
        )
    except (ArgumentError, NoSuchModuleError, ValueError, TypeError) as error:
        raise ConfigurationError(
            "STRAIGHTLINE_DATABASE_URL is not a database URL: "
            "write postgresql+psycopg2://user:password@host:port/database"
        ) from error
    if engine.dialect.name != "postgresql":
        raise ConfigurationError(
            f"STRAIGHTLINE_DATABASE_URL names {engine.dialect.name}; the ledger needs postgresql+psycopg2"
        )
    return engine


@contextmanager
def connected(
    url: str, *, name: str = "straightline", statement_timeout: float = 60.0
) -> Iterator[Connection]:
    """Open one connection for questions, and close it with all it holds.

    Args:
        url: as for `engine_for`.
        name: what `pg_stat_activity` shows.
        statement_timeout: seconds that a question may take.

    Raises:
        ConfigurationError: the URL is none.
        LedgerUnavailable: Postgres does not answer.
        LedgerNotMigrated: the tables are not there.
        LedgerRefused: Postgres refuses the statement.
    """
    engine = engine_for(url, name=name, statement_timeout=statement_timeout)
    try:
        with translated(), engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


@contextmanager
def translated() -> Iterator[None]:
    """Turn the errors of SQLAlchemy and psycopg2 into those of the ledger.

    Raises:
        LedgerUnavailable: Postgres does not answer, or cannot do it now.
        LedgerNotMigrated: a table or column is missing.
        LedgerRefused: Postgres refuses the statement or a value in it.
    """
    try:
        yield
    except DBAPIError as error:
        raise translate(error) from error


def translate(error: DBAPIError) -> StraightLineError:
    """Say what an error of the driver means to the ledger."""
    original = error.orig
    said = " ".join(str(original).split()) or type(original).__name__
    if isinstance(original, (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedColumn)):
        return LedgerNotMigrated(f"the database is not migrated ({said}): run `{MIGRATE}`")
    code = getattr(original, "pgcode", None)
    lost = code is None and isinstance(error, (OperationalError, InterfaceError))
    if lost or error.connection_invalidated or (code or "")[:2] in {"08", "53", "57", "58", "28", "3D"}:
        return LedgerUnavailable(
            f"the database does not answer: {said}; is it started, and is STRAIGHTLINE_DATABASE_URL right?"
        )
    if isinstance(original, _LATER):
        return LedgerUnavailable(f"the database cannot do it now: {said}")
    return LedgerRefused(f"the database refuses it: {said}")
