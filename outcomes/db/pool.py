"""A pool of connections for components that query the ledger often."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection

from outcomes.db.database import POOL_TIMEOUT_S, engine_for
from outcomes.db.socket_watchdog import socket_deadline
from outcomes.db.translation import translated

SOCKET_TIMEOUT_FACTOR: Final = 4.0
"""Multiple of the statement timeout after which a silent connection is cut."""


class LedgerPool:
    """Lends connections for queries. Thread-safe.

    Args:
        url: as for `outcomes.db.database.engine_for`.
        name: shown in `pg_stat_activity`.
        connections: maximum open connections.
        wait: seconds to wait for a free connection before `LedgerBusy`.
        statement_timeout: seconds that a statement may take.
        socket_timeout: seconds after which a connection still in use is cut; None takes
            `SOCKET_TIMEOUT_FACTOR` times `statement_timeout`.

    Raises:
        ConfigurationError: the URL is invalid.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        connections: int = 4,
        wait: float = POOL_TIMEOUT_S,
        statement_timeout: float = 10.0,
        socket_timeout: float | None = None,
    ) -> None:
        default = SOCKET_TIMEOUT_FACTOR * statement_timeout
        self._socket_timeout = default if socket_timeout is None else socket_timeout
        self._engine = engine_for(
            url, name=name, statement_timeout=statement_timeout, pool_size=connections, pool_wait=wait
        )

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Borrow a connection.

        Raises:
            LedgerUnavailable, LedgerNotMigrated, LedgerRefused: see `outcomes.db.database.translated`.
        """
        with (
            translated(),
            self._engine.connect() as connection,
            socket_deadline(connection, self._socket_timeout),
        ):
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()
