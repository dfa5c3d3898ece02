"""AWS Lambda's Runtime API, with one endpoint on loopback for each instance.

Source: "Using the Lambda runtime API for custom runtimes" in AWS's developer guide. Each instance has its own
endpoint, since requests of the runtime do not identify the instance. The standard library's server is used
instead of Werkzeug's, which closes the connection after every response: a kept connection takes a third of
the time.
"""

import contextlib
import http.server
import socket
import socketserver
import threading
import time
from typing import Any, Final

import msgspec

from function_host.instances.channel import MAX_PAYLOAD_BYTES, Channel, RuntimeResponse

_ROOT: Final = ["2018-06-01", "runtime"]
READ_CHUNK_BYTES: Final = 1 << 20
_LOOPBACK: Final = "127.0.0.1"
CLOSE_TIMEOUT_S: Final = 2.0
_ACCEPTED: Final = b'{"status":"OK"}\n'


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # the runtime keeps its connection
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body are sent together
    server: "_Server"

    def handle(self) -> None:
        """Serve the connection until it ends, and record whether the runtime closed it with unread data.

        The kernel resets a connection that is closed with unread data (RFC 1122, 4.2.2.13), or written to
        after the other end closed it.
        """
        try:
            super().handle()
            broken = self.connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
        except ConnectionError:
            broken = True
        if broken:
            self.server.channel.mark_broken()

    def do_GET(self) -> None:
        """Return the next invocation, when there is one."""
        if self.path.strip("/").split("/") != [*_ROOT, "invocation", "next"]:
            self._refuse(404)
            return
        invocation = self.server.channel.next()
        if invocation is None:
            self._refuse(410)  # the instance is ending
            return
        headers = {
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": invocation.arn,
        }
        if invocation.client_context is not None:
            headers["Lambda-Runtime-Client-Context"] = invocation.client_context
        self._answer(200, invocation.event, headers)

    def do_POST(self) -> None:
        """Accept a response or an error."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            self._refuse(411, {"Connection": "close"})  # the end of the body is unknown
            return
        payload, too_large = self._read(int(length))
        channel = self.server.channel
        match self.path.strip("/").split("/"):
            case [*root, "invocation", request_id, "response" | "error" as kind] if root == _ROOT:
                accepted = channel.respond(request_id, RuntimeResponse(payload, kind == "error", too_large))
            case [*root, "init", "error"] if root == _ROOT:
                channel.init_failed(payload)
                accepted = True
            case _:
                accepted = False
        if accepted:
            self._answer(202, _ACCEPTED)
        else:
            self._refuse(404)

    def log_message(self, *_args: Any) -> None:
        """Log nothing; the host has its own log."""

    def _read(self, length: int) -> tuple[bytes, bool]:
        """Return the body and whether it is too large; a body that is too large is discarded."""
        if length <= MAX_PAYLOAD_BYTES:
            return self.rfile.read(length), False
        while length > 0 and (chunk := self.rfile.read(min(length, READ_CHUNK_BYTES))):
            length -= len(chunk)
        return b"", True

    def _answer(self, status: int, payload: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response_only(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def _refuse(self, status: int, headers: dict[str, str] | None = None) -> None:
        content = {"errorMessage": self.responses[status][0], "errorType": "InvalidRequest"}
        self._answer(status, msgspec.json.encode(content), headers)


class _Server(socketserver.TCPServer):
    connection: socket.socket | None = None

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        super().__init__((_LOOPBACK, 0), _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        self.connection, address = super().get_request()
        return self.connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing; an ending process breaks its connection, and the watcher logs the end."""


class Endpoint:
    """Serves the single connection of one instance's runtime, in a thread."""

    def __init__(self, channel: Channel) -> None:
        """Listen on a free port of loopback.

        Raises:
            OSError: no port is free.
        """
        self._server = _Server(channel)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="runtime-api", daemon=True
        )
        self._thread.start()

    @property
    def address(self) -> str:
        """Host and port, for `AWS_LAMBDA_RUNTIME_API`."""
        return f"{_LOOPBACK}:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop listening and break the connection. Stop the channel first, which may block in `next`."""
        threading.Thread(target=self._server.shutdown, daemon=True).start()
        deadline = time.monotonic() + CLOSE_TIMEOUT_S
        while self._thread.is_alive() and time.monotonic() < deadline:
            if self._server.connection is not None:
                # A child of the process may still hold the other end.
                with contextlib.suppress(OSError):
                    self._server.connection.shutdown(socket.SHUT_RDWR)
            self._thread.join(0.05)
        self._server.server_close()
