"""Calls of one HTTP server over connections that are kept, each asked once and ended in time.

Python's own client, and not urllib3, which takes half a millisecond more of each call: a tenth of what a
request takes on its whole way. Nothing is followed, nothing unpacked, and no proxy is asked.
"""

import contextlib
import http.client
import select
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from straightline.errors import ConfigurationError
from workers.protocol.errors import BackendFault
from workers.protocol.http_deadline import DeadlineResponse

CONNECT_TIMEOUT_S: Final = 2.0
_READ_CHUNK_BYTES: Final = 256 * 1024
_MIN_TIMEOUT_S: Final = 0.001
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class HttpClient:
    """Asks one server. Thread-safe; connects when first asked.

    Args:
        base_url: such as `http://127.0.0.1:8080`.
        connections: kept open at most.
        max_response: largest answer in bytes that is read.

    Raises:
        ConfigurationError: `base_url` is not an HTTP URL.
    """

    def __init__(self, base_url: str, *, connections: int, max_response: int) -> None:
        try:
            url = urlsplit(base_url)
            self._host, self._port = url.hostname or "", url.port or _DEFAULT_PORTS.get(url.scheme, 0)
        except ValueError:
            url, self._host = None, ""  # the error repeats it
        if url is None or url.scheme not in ("http", "https") or not self._host:
            # Nor is it repeated here: it may hold a password.
            raise ConfigurationError("the model server's URL must look like http://127.0.0.1:8080")
        self._base = url.path.rstrip("/")
        self._tls = ssl.create_default_context() if url.scheme == "https" else None
        self._most = connections
        self._max_response = max_response
        self._lock = threading.Lock()
        self._kept: list[http.client.HTTPConnection] = []  # the one used last is used next

    def ask(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], timeout: float
    ) -> tuple[int, bytes]:
        """Ask once, and return status and body: where the server broke off, it may have died of this request.

        Args:
            method: of HTTP.
            path: after that of the base URL.
            body: of the request.
            headers: beside those of HTTP itself.
            timeout: seconds for the whole call.

        Raises:
            BackendFault: unreachable, timed_out, crashed or bad_protocol.
        """
        deadline = time.monotonic() + timeout
        connection = self._connection(timeout)
        whole = False
        try:
            connection.sock.settimeout(max(_MIN_TIMEOUT_S, deadline - time.monotonic()))
            connection.response_class = partial(DeadlineResponse, deadline=deadline)  # type: ignore[assignment]
            _send(connection, method, self._base + path, body, headers)
            response = connection.getresponse()
            answer = self._read(response)
            response.close()  # or the connection waits for somebody to read it to its end
            whole = not response.will_close
        except TimeoutError as error:
            raise BackendFault(f"no answer within {timeout:.3g} s", error_class="timed_out") from error
        except (ConnectionResetError, BrokenPipeError) as error:  # RemoteDisconnected is one
            sentence = "the model server broke off before it answered"
            raise BackendFault(sentence, error_class="crashed") from error
        except (http.client.HTTPException, OSError, ValueError) as error:
            sentence = f"the model server's answer cannot be read: {error!r}"
            raise BackendFault(sentence, error_class="bad_protocol") from error
        finally:
            if whole:
                self._keep(connection)
            else:
                connection.close()
        return response.status, answer

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with self._lock:
            kept, self._kept = self._kept, []
        for connection in kept:
            connection.close()

    def _connection(self, patience: float) -> http.client.HTTPConnection:
        """Return a connection that is open."""
        while (connection := self._take()) is not None:
            if _open(connection.sock):
                return connection
            connection.close()
        return self._connect(min(CONNECT_TIMEOUT_S, max(_MIN_TIMEOUT_S, patience)))

    def _connect(self, wait: float) -> http.client.HTTPConnection:
        if self._tls is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=wait)
        else:
            connection = http.client.HTTPSConnection(self._host, self._port, timeout=wait, context=self._tls)
        try:
            connection.connect()
        except TimeoutError as error:
            sentence = "the model server does not take connections"
            raise BackendFault(sentence, error_class="unreachable") from error
        except ssl.SSLError as error:
            sentence = f"no TLS with the model server: {error.reason or error}"
            raise BackendFault(sentence, error_class="unreachable") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            sentence = "nobody listens at the model server's address"
            raise BackendFault(sentence, error_class="unreachable") from error
        return connection

    def _take(self) -> http.client.HTTPConnection | None:
        with self._lock:
            return self._kept.pop() if self._kept else None

    def _keep(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if len(self._kept) < self._most:
                self._kept.append(connection)
                return
        connection.close()

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        if response.getheader("Content-Encoding", "identity") != "identity":
            # Nothing compressed was asked for, and little of it may hold very much.
            raise BackendFault("the answer is compressed", error_class="bad_protocol")
        chunks: list[bytes] = []
        size = 0
        while chunk := response.read1(_READ_CHUNK_BYTES):
            size += len(chunk)
            if size > self._max_response:
                sentence = f"the answer is longer than {self._max_response} bytes"
                raise BackendFault(sentence, error_class="bad_protocol")
            chunks.append(chunk)
        if response.length:  # of a body whose length was told, what has not come
            raise BackendFault("the answer ended before its end", error_class="bad_protocol")
        return b"".join(chunks)


def _send(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None,
    headers: Mapping[str, str],
) -> None:
    """Send a request; where the server closes meanwhile, it may have answered before: that is to be read."""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        connection.request(method, path, body, dict(headers))


def _open(line: socket.socket) -> bool:
    """Tell whether a kept connection is open still: one that was closed, or speaks unasked, can be read."""
    poll = select.poll()
    poll.register(line, select.POLLIN)
    return not poll.poll(0)
