"""An end to waiting for a server that keeps its connection and says nothing.

Postgres' own time-outs need a server that runs, the kernel's a peer that no longer answers for it. Between
them is a proxy, or a machine, that takes all and does nothing; psycopg2 waits for its answer without end.
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
    """Cut a connection that is still in use after so many seconds: who waits for an answer gets an error."""
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
        return  # it was closed meanwhile, by us or by the server
