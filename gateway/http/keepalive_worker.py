"""Gunicorn's threaded worker, whose threads wait a little for the next request of the connection they served.

As it stands, a kept connection goes back to the main thread after each request, and its next one is handed to
a thread again: two wake-ups, a future and four system calls more for each, and threads that want the
interpreter's lock of each other. That is more than all else that the gateway does for a request.
"""

import select
import threading
from typing import Any, Final

from gunicorn.workers.gthread import ThreadWorker

KEEPALIVE_WAIT_S: Final = 0.25
"""Seconds. A worker that is to stop waits so much longer at most."""


class KeepAliveWorker(ThreadWorker):
    """At most half of its threads wait for connections; the others serve whoever else comes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._seats = threading.Semaphore(self.cfg.threads // 2)

    def handle(self, conn: Any) -> Any:
        """Serve the requests of a connection as long as the next one comes soon."""
        while True:
            kept = super().handle(conn)
            if kept is not True or not self.alive or not self._soon(conn):
                return kept

    def _soon(self, conn: Any) -> bool:
        """Whether the next request has come, or the other end has hung up, in a short time."""
        if conn.parser.unreader.buf.getvalue():
            return True
        if self.cfg.is_ssl or not self._seats.acquire(blocking=False):
            return False  # what TLS has read already, no poll would see
        try:
            poll = select.poll()
            poll.register(conn.sock, select.POLLIN)
            return bool(poll.poll(KEEPALIVE_WAIT_S * 1e3))
        finally:
            self._seats.release()
