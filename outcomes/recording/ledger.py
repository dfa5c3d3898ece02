"""Writes outcomes to the ledger in idempotent transactions."""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import psycopg2.errors
from sqlalchemy import Column, Connection, Table, select
from sqlalchemy.dialects.postgresql import insert

from outcomes.db.database import engine_for
from outcomes.db.errors import LedgerRefused
from outcomes.db.socket_watchdog import socket_deadline
from outcomes.db.sql_params import in_ids
from outcomes.db.translation import translated
from outcomes.queries.outcomes import outcomes_of
from outcomes.recording.placements import insert_leases
from outcomes.rows.copy_binary import copy_file
from outcomes.rows.dedup import Classified, classify
from outcomes.rows.row_mapping import ATTEMPT_COLUMNS, OUTCOME_COLUMNS, Entry, Execution
from outcomes.schema.tables import ATTEMPTS, DUPLICATE_OUTCOMES, DUPLICATE_REQUESTS, OUTCOMES
from straightline.contracts import Lease, Outcome, Recall
from straightline.errors import StraightLineError
from straightline.support.event_log import EventLogger

logger = EventLogger(__name__)

MAX_RACES: Final = 5
"""Tries when other recorders write the same ids between the query and the COPY."""
SOCKET_TIMEOUT_FACTOR: Final = 4
"""Multiple of the statement timeout after which a transaction's connection is cut."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Written(msgspec.Struct, frozen=True):
    """Numbers of outcomes that were new, redelivered and duplicate (see `outcomes.rows.dedup`)."""

    new: int = 0
    redelivered: int = 0
    duplicates: int = 0


class _RaceError(Exception):
    """Another recorder wrote one of the ids since the query."""


class Ledger:
    """The recorder's access to the ledger: one connection, replaced after any fault.

    Args:
        url: `postgresql+psycopg2://user:password@host:port/database`.
        statement_timeout: seconds that a statement may take.
        lock_timeout: seconds that a statement may wait for a lock.
        on_recorded: is called after each commit with the outcomes that are new.

    Raises:
        ConfigurationError: the URL is invalid.
    """

    def __init__(
        self,
        url: str,
        *,
        statement_timeout: float = 30.0,
        lock_timeout: float = 5.0,
        on_recorded: Callable[[Sequence[Entry]], None] | None = None,
    ) -> None:
        self._engine = engine_for(
            url,
            name="straightline-recorder",
            statement_timeout=statement_timeout,
            lock_timeout=lock_timeout,
        )
        self._on_recorded = on_recorded
        self._socket_timeout = SOCKET_TIMEOUT_FACTOR * statement_timeout

    def close(self) -> None:
        """Close the connection."""
        self._engine.dispose()

    def write(
        self, entries: Iterable[Entry], recalls: Sequence[Recall] = (), leases: Sequence[Lease] = ()
    ) -> Written:
        """Commit outcomes with their attempts, repeated ids, and leases, all or nothing.

        Idempotent. The first outcome of a request wins.

        Raises:
            LedgerUnavailable: not now; nothing was written.
            LedgerNotMigrated: the tables are missing.
            LedgerRefused: a value can never be written; nothing was written.
        """
        # One order everywhere, so that two recorders never deadlock. The sort is stable.
        ordered = sorted(entries, key=lambda entry: entry.request_id)
        for _ in range(MAX_RACES):
            try:
                with self._transaction() as connection:
                    found = _write(connection, ordered, recalls)
                    insert_leases(connection, leases)
            except _RaceError:
                logger.debug("ledger_write_raced")
            else:
                if self._on_recorded is not None:
                    self._on_recorded(found.new)
                return Written(len(found.new), len(found.redelivered), len(found.duplicates))
        raise LedgerRefused("key conflict: the key is taken, though the ledger has no such outcome")

    def read(self, request_ids: Iterable[str]) -> dict[str, Outcome]:
        """Return the recorded outcomes by id.

        Raises:
            LedgerUnavailable: not now.
            LedgerNotMigrated: the tables are missing.
            ContractError: an id is not a UUID.
        """
        with self._transaction() as connection:
            return outcomes_of(connection, request_ids)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with (
                translated(),
                self._engine.connect() as connection,
                socket_deadline(connection, self._socket_timeout),
                connection.begin(),
            ):
                yield connection
        except StraightLineError:
            self._engine.dispose()
            raise


def _write(connection: Connection, entries: Sequence[Entry], recalls: Sequence[Recall]) -> Classified:
    found = classify(entries, _recorded_executions(connection, entries))
    if found.new:
        _copy(connection, OUTCOMES, OUTCOME_COLUMNS, [entry.row for entry in found.new])
        _copy(connection, ATTEMPTS, ATTEMPT_COLUMNS, [row for entry in found.new for row in entry.attempts])
    if found.duplicates:
        _insert(connection, DUPLICATE_OUTCOMES, [_duplicate_outcome_row(entry) for entry in found.duplicates])
    repeated = [_duplicate_request_row(recall) for recall in recalls if recall.repeated]
    if repeated:
        _insert(connection, DUPLICATE_REQUESTS, repeated)
    return found


def _recorded_executions(connection: Connection, entries: Sequence[Entry]) -> dict[str, Execution]:
    if not entries:
        return {}
    ids = {entry.request_id for entry in entries}
    columns = (OUTCOMES.c.request_id, OUTCOMES.c.finished_at, OUTCOMES.c.state, OUTCOMES.c.backend)
    rows = connection.execute(select(*columns).where(in_ids(OUTCOMES.c.request_id, ids)))
    return {
        request_id: Execution((finished_at - _EPOCH) // _MICROSECOND, state, backend)
        for request_id, finished_at, state, backend in rows
    }


def _copy(connection: Connection, table: Table, columns: Sequence[Column[Any]], rows: list[bytes]) -> None:
    if not rows:
        return
    names = ", ".join(f'"{column.name}"' for column in columns)
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor:
        try:
            cursor.copy_expert(
                f'COPY "{table.name}" ({names}) FROM STDIN (FORMAT binary)', io.BytesIO(copy_file(rows))
            )
        except psycopg2.errors.UniqueViolation as error:
            raise _RaceError from error


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    connection.execute(insert(table).on_conflict_do_nothing(), rows)


def _duplicate_outcome_row(entry: Entry) -> dict[str, Any]:
    return {
        "request_id": entry.request_id,
        "finished_at": _EPOCH + entry.execution.finished_us * _MICROSECOND,
        "state": entry.execution.state,
        "backend": entry.execution.backend,
    }


def _duplicate_request_row(recall: Recall) -> dict[str, Any]:
    return {
        "request_id": recall.request_id,
        "seen_at": _EPOCH + timedelta(seconds=recall.seen_at),
        "digest": recall.digest,
        "conflict": recall.conflict,
    }
