"""A pool of connections to the ledger, for who asks it much."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection

from outcomes.db.database import POOL_TIMEOUT_S, engine_for, translated
from outcomes.db.socket_watchdog import socket_deadline

SOCKET_TIMEOUT_FACTOR: Final = 4.0
"""Times as long as a statement may take, after which a connection that says nothing is given up."""


class LedgerPool:
    """Opens connections for the questions of this package. Thread-safe.

    Args:
        url: as for `outcomes.db.database.engine_for`.
        name: what `pg_stat_activity` shows.
        connections: most of them at once.
        wait: seconds that who finds none free waits, before the ledger counts as unavailable.
        statement_timeout: seconds that a question may take.
        patience: seconds after which a connection that is still in use is given up; None takes
            `SOCKET_TIMEOUT_FACTOR` times `statement_timeout`.

    Raises:
        ConfigurationError: the URL is none.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        connections: int = 4,
        wait: float = POOL_TIMEOUT_S,
        statement_timeout: float = 10.0,
        patience: float | None = None,
    ) -> None:
        self._patience = SOCKET_TIMEOUT_FACTOR * statement_timeout if patience is None else patience
        self._engine = engine_for(
            url, name=name, statement_timeout=statement_timeout, pool_size=connections, pool_wait=wait
        )

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Open a connection, and give it back.

        Raises:
            LedgerUnavailable, LedgerNotMigrated, LedgerRefused: as the question goes wrong.
        """
        with (
            translated(),
            self._engine.connect() as connection,
            socket_deadline(connection, self._patience),
        ):
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()
