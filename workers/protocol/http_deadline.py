"""HTTP answers that end in time, however slowly the server sends them.

A socket's time-out begins anew with every byte; one that bounds the whole answer, its head included, is asked
for anew before each read.
"""

import http.client
import io
import socket
import time
from typing import Any


class DeadlineResponse(http.client.HTTPResponse):
    """An answer of which no part is waited for after a moment.

    Args:
        sock: the connection.
        deadline: by `time.monotonic`. Reading raises `TimeoutError` from then on.
        more: as of `HTTPResponse`.
    """

    def __init__(self, sock: socket.socket, *, deadline: float, **more: Any) -> None:
        super().__init__(sock, **more)
        self.fp = io.BufferedReader(_DeadlineReader(sock, self.fp.detach(), deadline))


class _DeadlineReader(io.RawIOBase):
    """What a socket's file gives, until a moment; closing it closes that file, and not the socket."""

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
            raise TimeoutError("the answer did not end in time")
        self._sock.settimeout(left)
        return self._file.readinto(into)

    def close(self) -> None:
        self._file.close()
        super().close()
