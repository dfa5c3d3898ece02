"""A watchdog that cuts a connection whose server keeps it open but never answers.

Postgres's own timeouts need a running server, and TCP timeouts an unreachable peer. A proxy or a hung
machine that accepts data and never answers triggers neither, and psycopg2 would wait for ever.
"""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection


@contextmanager
def socket_deadline(connection: Connection, seconds: float) -> Iterator[None]:
    """Shut down the connection's socket after `seconds`, so that a block that still waits gets an error."""
    driver: Any = connection.connection.driver_connection
    line = socket.socket(fileno=os.dup(driver.fileno()))
    timer = threading.Timer(seconds, _cut, (line,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        line.close()


def _cut(line: socket.socket) -> None:
    try:
        line.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # already closed by either side
