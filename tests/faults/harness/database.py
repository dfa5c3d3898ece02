"""Database of the suite: fault injection and the ledger's contents."""

import contextlib
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import psycopg2
from sqlalchemy.engine import make_url

from script.stack.services import postgres, services
from script.support import processes
from script.support.readiness import wait_until
from script.support.run import Run
from tests.faults.harness.oracle import DeadLetter, RecordedOutcome

_OUTCOMES = """
select request_id::text, state, error_class, error, backend, attempts,
       extract(epoch from submitted_at)::float8, extract(epoch from finished_at)::float8
from outcomes where recorded_at >= to_timestamp(%s)
"""
_END_RECORDER = """
select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'straightline-recorder'
"""


class LedgerDatabase:
    """A private Postgres that can be stopped and started again on its data."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._server = services.start_database(run)
        self.url = self._server.url

    @property
    def server(self) -> postgres.Database:
        """The server, with the URLs of its roles."""
        return self._server

    @property
    def port(self) -> int:
        """Port of the server."""
        return int(make_url(self.url).port or 0)

    @property
    def process(self) -> processes.Process:
        """The server's process."""
        return self._server.process

    def stop(self) -> None:
        """Stop the server like `pg_ctl stop -m immediate`; it recovers at the next start."""
        processes.stop([replace(self._server.process, stop_signal=int(signal.SIGQUIT))], timeout=15)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        started = self._server.launch()
        self._run.add(started)
        self._server = replace(self._server, process=started)
        wait_until(lambda: services.database_answers(self.url), what="the database", seconds=60)

    @contextlib.contextmanager
    def connection(self, name: str = "straightline-faults") -> Iterator[Any]:
        """Open a connection whose transaction is committed at the end of the block."""
        parts = make_url(self.url)
        opened = psycopg2.connect(
            host=parts.host,
            port=parts.port,
            user=parts.username,
            password=parts.password,
            dbname=parts.database,
            connect_timeout=5,
            application_name=name,
        )
        try:
            with opened:
                yield opened
        finally:
            opened.close()

    def ask(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows."""
        with self.connection() as connection, connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return list(cursor.fetchall()) if cursor.description else []

    def administer(self, statement: str) -> None:
        """Run a statement outside of a transaction; `{database}` is replaced by our database's name."""
        parts = make_url(self.url)
        services.administer(self.url, statement.format(database=f'"{parts.database}"'))

    def disconnect_others(self) -> None:
        """Close every other connection to our database, so that new settings apply to all."""
        database = make_url(self.url).database
        statement = "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{}'"
        services.administer(self.url, statement.format(database))

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """Occupy all of the server's connections, including the recorder's."""
        with contextlib.ExitStack() as held:
            first = held.enter_context(self.connection())
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                try:
                    while True:
                        held.enter_context(self.connection())
                except psycopg2.OperationalError:
                    with first.cursor() as cursor:
                        cursor.execute(_END_RECORDER)
                        if not cursor.fetchall():
                            break
            yield

    def is_behind(self, confirmed: Iterable[str]) -> bool:
        """Whether some of these ids have no outcome yet."""
        return bool(set(confirmed) - self.recorded(confirmed))

    def recorded(self, ids: Iterable[str]) -> set[str]:
        """Return the ids that have an outcome."""
        statement = "select request_id::text from outcomes where request_id = any(%s::uuid[])"
        return {row[0] for row in self.ask(statement, list(ids))}

    def outcomes(self, since: float) -> Mapping[str, RecordedOutcome]:
        """Return the outcomes recorded since that time, by id."""
        found: dict[str, RecordedOutcome] = {}
        for identity, state, error_class, error, backend, attempts, submitted, finished in self.ask(
            _OUTCOMES, since
        ):
            rows = found[identity].rows + 1 if identity in found else 1
            found[identity] = RecordedOutcome(
                rows, state, error_class, error, backend, attempts, submitted, finished
            )
        return found

    def dead_letters(self, since: float) -> list[DeadLetter]:
        """Return the dead letters since that time, one for each request in them.

        Those that were sent to the recorder again are left out.
        """
        rows = self.ask(
            "select requests::text[], coalesce(said, reason) from dead_letters "
            "where last_at >= to_timestamp(%s) and resolution <> 'sent_again'",
            since,
        )
        return [DeadLetter(one, reason) for requests, reason in rows for one in requests or [None]]

    def mentions(self, secret: str) -> list[str]:
        """Return the text columns that contain a secret."""
        columns = (
            *(("outcomes", "error"), ("attempts", "error"), ("attempts", "reason")),
            *(("dead_letters", "said"), ("dead_letters", "body")),
        )
        return [
            f"the column {table}.{column}"
            for table, column in columns
            if self.ask(
                f"select 1 from {table} where {column}::text like %s limit 1",  # noqa: S608 - own names
                f"%{secret}%",
            )
        ]
