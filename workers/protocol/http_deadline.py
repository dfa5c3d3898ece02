"""HTTP responses with a deadline for the whole response.

A socket's timeout restarts with each byte. Here the remaining time is set before each read, head included, so
that a server that sends slowly cannot exceed the deadline.
"""

import http.client
import io
import socket
import time
from typing import Any


class DeadlineResponse(http.client.HTTPResponse):
    """A response that raises `TimeoutError` when it is read after its deadline.

    Args:
        sock: the connection.
        deadline: by `time.monotonic`.
        options: those of `HTTPResponse`.
    """

    def __init__(self, sock: socket.socket, *, deadline: float, **options: Any) -> None:
        super().__init__(sock, **options)
        self.fp = io.BufferedReader(_DeadlineReader(sock, self.fp.detach(), deadline))


class _DeadlineReader(io.RawIOBase):
    """A socket's file with a deadline; closing it closes the file and not the socket."""

    def __init__(self, sock: socket.socket, file: io.RawIOBase, deadline: float) -> None:
        super().__init__()
        self._sock = sock
        self._file = file
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any, /) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the response did not end before its deadline")
        self._sock.settimeout(left)
        return self._file.readinto(into)

    def close(self) -> None:
        self._file.close()
        super().close()
