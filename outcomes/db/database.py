"""Engines and connections to Postgres."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import URL, Connection, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from outcomes.db.translation import URL_SETTING, translated
from straightline.errors import ConfigurationError

DRIVER: Final = "postgresql+psycopg2"
POOL_TIMEOUT_S: Final = 30.0
_CONNECT_OPTIONS: Final = {
    "connect_timeout": 5,
    # A server that vanished silently is detected within half a minute.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


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
    """Create an engine without connecting.

    Args:
        url: `postgresql+psycopg2://user:password@host:port/database`; `postgresql://` means the same.
        name: shown in `pg_stat_activity`.
        statement_timeout: seconds that a statement may take; 0 for no limit.
        lock_timeout: seconds that a statement may wait for a lock; 0 for no limit.
        pool_size: maximum connections.
        pool_wait: seconds to wait for a free connection.
        setting: the setting that gave the URL, named in messages.

    Raises:
        ConfigurationError: the URL is invalid.
    """
    options = f"-c statement_timeout={statement_timeout * 1000:.0f} -c lock_timeout={lock_timeout * 1000:.0f}"
    try:
        engine = create_engine(
            _with_driver(url),
            pool_size=pool_size,
            pool_timeout=pool_wait,
            max_overflow=0,
            connect_args={**_CONNECT_OPTIONS, "application_name": name, "options": options},
        )
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError, TypeError):
        # The original error may quote part of a password.
        raise ConfigurationError(
            f"{setting} is not a database URL: write postgresql+psycopg2://user:password@host:port/database"
        ) from None
    if engine.dialect.name != "postgresql":
        raise ConfigurationError(
            f"{setting} is a {engine.dialect.name} URL: the ledger needs postgresql+psycopg2"
        )
    _require_verified_tls(engine.url, setting)
    return engine


@contextmanager
def connected(
    url: str, *, name: str = "straightline", statement_timeout: float = 60.0, setting: str = URL_SETTING
) -> Iterator[Connection]:
    """Open one connection and close it after the block.

    Args:
        url: as for `engine_for`.
        name: shown in `pg_stat_activity`.
        statement_timeout: seconds that a statement may take.
        setting: the setting that gave the URL, named in messages.

    Raises:
        ConfigurationError: the URL is invalid.
        LedgerUnavailable, LedgerNotMigrated, LedgerRefused: see `outcomes.db.translation.translated`.
    """
    engine = engine_for(url, name=name, statement_timeout=statement_timeout, setting=setting)
    try:
        with translated(setting), engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _with_driver(url: str) -> URL:
    """Parse a URL; one without a driver, as `psql` takes it, gets psycopg2."""
    parts = make_url(url)
    return parts.set(drivername=DRIVER) if parts.drivername in ("postgresql", "postgres") else parts


def _require_verified_tls(url: URL, setting: str) -> None:
    """Reject TLS modes that would accept any server's certificate."""
    asked = {name: value for name, value in url.query.items() if name.startswith("ssl")}
    if asked and asked.get("sslmode") not in ("verify-full", "disable"):
        raise ConfigurationError(
            f"{setting} enables TLS without verifying the server: write ?sslmode=verify-full&sslrootcert=FILE"
        )
