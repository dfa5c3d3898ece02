"""A gunicorn worker whose threads wait briefly for the next request of their connection.

Gunicorn's own threaded worker returns a kept-alive connection to its main thread after each request and hands
the next request to a thread again. That costs two wake-ups, a future, four system calls and contention for
the GIL: more than everything else that the gateway does for a request.
"""

import select
import threading
from typing import Any, Final

from gunicorn.workers.gthread import ThreadWorker

KEEPALIVE_WAIT_S: Final = 0.25
"""It delays the stop of a worker by at most as much."""


class KeepAliveWorker(ThreadWorker):
    """Threaded worker with keep-alive; half of its threads stay free for new connections."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._seats = threading.Semaphore(self.cfg.threads // 2)

    def handle(self, conn: Any) -> Any:
        """Serve the requests of a connection while the next one arrives soon."""
        while True:
            kept = super().handle(conn)
            if kept is not True or not self.alive or not self._soon(conn):
                return kept

    def _soon(self, conn: Any) -> bool:
        """Return whether the connection has data, or was closed, within `KEEPALIVE_WAIT_S`."""
        if conn.parser.unreader.buf.getvalue():
            return True
        if self.cfg.is_ssl or not self._seats.acquire(blocking=False):
            return False  # poll does not see data that TLS has buffered
        try:
            poll = select.poll()
            poll.register(conn.sock, select.POLLIN)
            return bool(poll.poll(KEEPALIVE_WAIT_S * 1e3))
        finally:
            self._seats.release()
