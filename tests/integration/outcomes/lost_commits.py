"""Connections that the server ends during a commit of the registry."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import make_url


@contextmanager
def lost_at_commit(owner: str, *, stands: bool, back: bool = True) -> Iterator[None]:
    """End each connection that commits, after or before the server has committed.

    Args:
        owner: URL of a user that may end connections.
        stands: whether the change is taken.
        back: whether the server takes connections to this database again afterwards.
    """
    changing: set[Connection] = set()

    def note(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO model_changes"):
            changing.add(connection)

    def cut(connection: Connection) -> None:
        if connection not in changing:
            return
        changing.discard(connection)
        driver: Any = connection.connection.driver_connection
        if stands:
            with driver.cursor() as cursor:
                cursor.execute("COMMIT")  # unknown to the driver, which commits again
        _end(owner, driver.info.backend_pid, back=back)

    event.listen(Engine, "before_cursor_execute", note)
    event.listen(Engine, "commit", cut)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", note)
        event.remove(Engine, "commit", cut)
        _run(owner, "ALTER DATABASE {database} ALLOW_CONNECTIONS true")


def _end(owner: str, pid: int, *, back: bool) -> None:
    if not back:
        _run(owner, "ALTER DATABASE {database} ALLOW_CONNECTIONS false")
    _run(owner, f"SELECT pg_terminate_backend({pid}, 10000)")


def _run(owner: str, statement: str) -> None:
    url = make_url(owner)
    away = url.set(drivername="postgresql", database="postgres").render_as_string(hide_password=False)
    connection = psycopg2.connect(away)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement.format(database=f'"{url.database}"'))
    finally:
        connection.close()
