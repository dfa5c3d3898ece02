"""Engines and connections to Postgres, with its errors translated."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg2
import psycopg2.errors
from sqlalchemy import URL, Connection, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as NoneFree

from outcomes.db.errors import LedgerBusy, LedgerNotMigrated, LedgerRefused, LedgerUnavailable
from straightline.errors import ConfigurationError, StraightLineError

MIGRATE_COMMAND = "python -m outcomes migrate"
DRIVER: Final = "postgresql+psycopg2"
URL_SETTING: Final = "STRAIGHTLINE_DATABASE_URL"
"""Where most URLs come from; who reads one from another setting says so, for the messages name it."""
POOL_TIMEOUT_S: Final = 30.0

_ROWS_FAULT: Final = ("22", "23", "54")
"""SQLSTATE classes that blame the values: data exception, integrity violation, program limit exceeded.

Anything else (a lost connection, a lock, a full disk, a read-only standby, a missing right, a fault of the
server) may be over when it is tried again, so no row is ever given up for it.
"""


def engine_for(
    url: str,
    *,
    name: str,
    statement_timeout: float = 0.0,
    lock_timeout: float = 0.0,
    pool_size: int = 1,
    pool_wait: float = POOL_TIMEOUT_S,
    setting: str = URL_SETTING,
) -> Engine:
    """Make an engine; nothing is connected yet.

    Args:
        url: `postgresql+psycopg2://user:password@host:port/database`; `postgresql://` means the same.
        name: what `pg_stat_activity` shows.
        statement_timeout: seconds that a statement may take; 0 for no limit.
        lock_timeout: seconds that it may wait for a lock; 0 for no limit.
        pool_size: most connections kept.
        pool_wait: seconds that who finds none of them free waits.
        setting: where the URL comes from.

    Raises:
        ConfigurationError: the URL is none.
    """
    options = f"-c statement_timeout={statement_timeout * 1000:.0f} -c lock_timeout={lock_timeout * 1000:.0f}"
    try:
        engine = create_engine(
            _with_driver(url),
            pool_size=pool_size,
            pool_timeout=pool_wait,
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
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError, TypeError):
        # The error behind it may name a part of a password.
        raise ConfigurationError(
            f"{setting} is not a database URL: write postgresql+psycopg2://user:password@host:port/database"
        ) from None
    if engine.dialect.name != "postgresql":
        raise ConfigurationError(
            f"{setting} names {engine.dialect.name}; the ledger needs postgresql+psycopg2"
        )
    _check_tls(engine.url, setting)
    return engine


def _check_tls(url: URL, setting: str) -> None:
    """Refuse a TLS that would take whoever answers for the database."""
    asked = {name: value for name, value in url.query.items() if name.startswith("ssl")}
    if asked and asked.get("sslmode") not in ("verify-full", "disable"):
        raise ConfigurationError(
            f"{setting} asks for TLS without holding the certificate against the host: write "
            "?sslmode=verify-full&sslrootcert=FILE"
        )


def _with_driver(url: str) -> URL:
    """Read a URL; one as `psql` takes it, without a driver, means ours."""
    parts = make_url(url)
    return parts.set(drivername=DRIVER) if parts.drivername in ("postgresql", "postgres") else parts


@contextmanager
def connected(
    url: str, *, name: str = "straightline", statement_timeout: float = 60.0, setting: str = URL_SETTING
) -> Iterator[Connection]:
    """Open one connection for questions, and close it with all it holds.

    Args:
        url: as for `engine_for`.
        name: what `pg_stat_activity` shows.
        statement_timeout: seconds that a question may take.
        setting: where the URL comes from.

    Raises:
        ConfigurationError: the URL is none.
        LedgerUnavailable: Postgres does not answer.
        LedgerNotMigrated: the tables are not there.
        LedgerRefused: Postgres refuses the statement.
    """
    engine = engine_for(url, name=name, statement_timeout=statement_timeout, setting=setting)
    try:
        with translated(setting), engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


@contextmanager
def translated(setting: str = URL_SETTING) -> Iterator[None]:
    """Turn the errors of SQLAlchemy and psycopg2 into those of the ledger; `setting` gave the URL.

    Raises:
        LedgerUnavailable: Postgres does not answer, or cannot do it now; `LedgerBusy` where it was not asked.
        LedgerNotMigrated: a table or column is missing.
        LedgerRefused: Postgres refuses the statement or a value in it.
    """
    try:
        yield
    except DBAPIError as error:
        raise translate(error.orig, setting) from error
    except NoneFree as error:
        raise LedgerBusy(
            "all connections to the database that this process may have are in use: it is slow, or asked much"
        ) from error
    except psycopg2.Error as error:  # from the driver's own COPY
        raise translate(error, setting) from error


def translate(error: BaseException | None, setting: str = URL_SETTING) -> StraightLineError:
    """Say what an error of the driver means to the ledger; `setting` gave the URL."""
    # The server's message alone: its detail and context repeat the row's values, which belong in no log.
    said = getattr(getattr(error, "diag", None), "message_primary", None)
    said = said or " ".join(str(error).split()) or type(error).__name__
    code: str | None = getattr(error, "pgcode", None)
    if isinstance(error, (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedColumn)):
        return LedgerNotMigrated(f"the database is not migrated ({said}): run `{MIGRATE_COMMAND}`")
    if isinstance(error, psycopg2.errors.CheckViolation) and error.diag.constraint_name is None:
        # It went to the default partition while its day's own was attached: there it belongs now.
        return LedgerUnavailable(f"a partition was made meanwhile: {said}")
    if code is not None and code.startswith(_ROWS_FAULT):
        return LedgerRefused(f"the database refuses the values: {said}")
    if code is None or code.startswith(("08", "28", "3D")):
        return LedgerUnavailable(
            f"the database does not answer: {said}; is it started, and is {setting} right?"
        )
    if isinstance(error, psycopg2.errors.InsufficientPrivilege):
        return LedgerUnavailable(
            f"the database does not let this role do it: {said}; is the URL that of the right role? "
            "`migrate`, `retain` and `keys` take the owner's in STRAIGHTLINE_DATABASE_OWNER_URL"
        )
    return LedgerUnavailable(f"the database cannot do it now: {said}")
