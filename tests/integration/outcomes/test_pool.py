"""Queries end although the server keeps the connection open without answering."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from outcomes.db.errors import LedgerUnavailable
from outcomes.db.pool import SOCKET_TIMEOUT_FACTOR, LedgerPool

pytestmark = pytest.mark.integration

STATEMENT = 0.25


@pytest.fixture
def reader(migrated_database_url: str) -> Iterator[LedgerPool]:
    made = LedgerPool(migrated_database_url, name="test", connections=1, statement_timeout=STATEMENT)
    yield made
    made.close()


def _backend(reader: LedgerPool) -> int:
    """Return the server process of the pool's connection."""
    with reader.connection() as connection:
        pid = int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
    command = Path(f"/proc/{pid}/cmdline")
    if not command.exists() or b"postgres" not in command.read_bytes():
        pytest.skip("the server runs elsewhere")
    return pid


def test_a_silent_connection_is_cut_and_the_next_one_works(reader: LedgerPool) -> None:
    pid = _backend(reader)
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(LedgerUnavailable), reader.connection() as connection:
            connection.execute(text("SELECT 1"))
        assert time.monotonic() - began < SOCKET_TIMEOUT_FACTOR * STATEMENT + 10
    finally:
        os.kill(pid, signal.SIGCONT)
    with reader.connection() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
