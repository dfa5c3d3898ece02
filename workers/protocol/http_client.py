"""An HTTP client for one server: persistent connections, one try by request, one deadline by response.

Python's own `http.client`, because urllib3 takes half a millisecond more for each call: a tenth of a
request's whole way. It follows no redirects, decompresses nothing and uses no proxy.
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
    """Calls one server. Thread-safe; connects on the first request.

    Args:
        base_url: such as `http://127.0.0.1:8080`.
        connections: number of idle connections kept.
        max_response: bytes of the largest response body that is read.

    Raises:
        ConfigurationError: `base_url` is not an HTTP URL.
    """

    def __init__(self, base_url: str, *, connections: int, max_response: int) -> None:
        try:
            url = urlsplit(base_url)
            self._host, self._port = url.hostname or "", url.port or _DEFAULT_PORTS.get(url.scheme, 0)
        except ValueError:
            url, self._host = None, ""  # its message would repeat the URL
        if url is None or url.scheme not in ("http", "https") or not self._host:
            # Not repeated here either: the URL may hold a password.
            raise ConfigurationError("the model server's URL must look like http://127.0.0.1:8080")
        self._base = url.path.rstrip("/")
        self._tls = ssl.create_default_context() if url.scheme == "https" else None
        self._max_idle = connections
        self._max_response = max_response
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []  # last used, first reused

    def request(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], timeout: float
    ) -> tuple[int, bytes]:
        """Send a request once, and return the status and body of the response.

        It is never repeated: a server that broke the connection may have crashed on this request.

        Args:
            method: HTTP method.
            path: appended to that of the base URL.
            body: of the request.
            headers: in addition to those of HTTP itself.
            timeout: seconds for the whole call.

        Raises:
            BackendFault: unreachable, timed_out, crashed or bad_protocol.
        """
        deadline = time.monotonic() + timeout
        connection = self._connection(timeout)
        reusable = False
        try:
            connection.sock.settimeout(max(_MIN_TIMEOUT_S, deadline - time.monotonic()))
            connection.response_class = partial(DeadlineResponse, deadline=deadline)  # type: ignore[assignment]
            _send(connection, method, self._base + path, body, headers)
            response = connection.getresponse()
            answer = self._read(response)
            response.close()  # else http.client counts the connection as busy
            reusable = not response.will_close
        except TimeoutError as error:
            raise BackendFault(
                f"no response from the model server within {timeout:.3g} s", error_class="timed_out"
            ) from error
        except (ConnectionResetError, BrokenPipeError) as error:  # RemoteDisconnected is one
            raise BackendFault(
                "the model server closed the connection before it answered", error_class="crashed"
            ) from error
        except (http.client.HTTPException, OSError, ValueError) as error:
            raise BackendFault(
                f"the model server's response is not valid HTTP: {error!r}", error_class="bad_protocol"
            ) from error
        finally:
            if reusable:
                self._keep(connection)
            else:
                connection.close()
        return response.status, answer

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        while (connection := self._take_idle()) is not None:
            if _is_open(connection.sock):
                return connection
            connection.close()
        return self._connect(min(CONNECT_TIMEOUT_S, max(_MIN_TIMEOUT_S, timeout)))

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        if self._tls is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        else:
            connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=timeout, context=self._tls
            )
        try:
            connection.connect()
        except TimeoutError as error:
            sentence = f"the model server did not accept a connection within {timeout:.3g} s"
            raise BackendFault(sentence, error_class="unreachable") from error
        except ssl.SSLError as error:
            sentence = f"the TLS handshake with the model server failed: {error.reason or error}"
            raise BackendFault(sentence, error_class="unreachable") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            sentence = "cannot connect to the model server: nothing listens at its address"
            raise BackendFault(sentence, error_class="unreachable") from error
        return connection

    def _take_idle(self) -> http.client.HTTPConnection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _keep(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if len(self._idle) < self._max_idle:
                self._idle.append(connection)
                return
        connection.close()

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        if response.getheader("Content-Encoding", "identity") != "identity":
            # Not requested, and a small compressed body may expand to a huge one.
            raise BackendFault("the model server's response is compressed", error_class="bad_protocol")
        chunks: list[bytes] = []
        size = 0
        while chunk := response.read1(_READ_CHUNK_BYTES):
            size += len(chunk)
            if size > self._max_response:
                sentence = f"the model server's response is longer than {self._max_response} bytes"
                raise BackendFault(sentence, error_class="bad_protocol")
            chunks.append(chunk)
        if response.length:  # bytes missing against Content-Length
            raise BackendFault("the model server's response is truncated", error_class="bad_protocol")
        return b"".join(chunks)


def _send(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None,
    headers: Mapping[str, str],
) -> None:
    """Send a request; if the server closes meanwhile, it may have answered, so go on to the response."""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        connection.request(method, path, body, dict(headers))


def _is_open(sock: socket.socket) -> bool:
    """Return whether an idle connection is still open: one that is readable was closed, or is out of step."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return not poll.poll(0)
