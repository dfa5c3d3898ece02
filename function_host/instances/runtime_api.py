"""AWS Lambda's Runtime API, one endpoint on loopback for each instance.

Source: "Using the Lambda runtime API for custom runtimes" in AWS's developer guide. An instance has an
endpoint of its own since nothing in the runtime's requests tells which instance sends them. It is served by
the standard library's server and not by Werkzeug's, which closes the connection after every answer: with the
connection kept an invocation costs a third of the time.
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
    wbufsize = -1  # head and body leave together
    server: "_Server"

    def handle(self) -> None:
        """Serve the connection until it ends, and note whether its other end closed with something unread.

        The kernel resets a connection that is closed so (RFC 1122, 4.2.2.13), and one that is written to when
        its other end has closed before.
        """
        try:
            super().handle()
            broken = self.connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
        except ConnectionError:
            broken = True
        if broken:
            self.server.channel.mark_broken()

    def do_GET(self) -> None:
        """Hand out the next invocation, when there is one."""
        if self.path.strip("/").split("/") != [*_ROOT, "invocation", "next"]:
            self._refuse(404)
            return
        invocation = self.server.channel.next()
        if invocation is None:
            self._refuse(410)  # the instance is being ended
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
        """Take an answer, or an error."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            self._refuse(411, {"Connection": "close"})  # where its body ends cannot be known
            return
        payload, too_large = self._read(int(length))
        channel = self.server.channel
        match self.path.strip("/").split("/"):
            case [*root, "invocation", request_id, "response" | "error" as kind] if root == _ROOT:
                taken = channel.answer(request_id, RuntimeResponse(payload, kind == "error", too_large))
            case [*root, "init", "error"] if root == _ROOT:
                channel.init_failed(payload)
                taken = True
            case _:
                taken = False
        if taken:
            self._answer(202, _ACCEPTED)
        else:
            self._refuse(404)

    def log_message(self, *_args: Any) -> None:
        """Say nothing: the host's own log tells what matters."""

    def _read(self, length: int) -> tuple[bytes, bool]:
        """Return the body and whether it is too large; it is then read, but not kept."""
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
        """Say nothing: an ending process breaks its connection, and its end is told elsewhere."""


class Endpoint:
    """Serves one instance's runtime, which has one connection, in a thread of its own."""

    def __init__(self, channel: Channel) -> None:
        """Listen on a free port of loopback.

        Raises:
            OSError: there is none.
        """
        self._server = _Server(channel)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="runtime-api", daemon=True
        )
        self._thread.start()

    @property
    def address(self) -> str:
        """Host and port, as `AWS_LAMBDA_RUNTIME_API` holds them."""
        return f"{_LOOPBACK}:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop listening and break the connection; the channel must be stopped, or `next` goes on waiting."""
        threading.Thread(target=self._server.shutdown, daemon=True).start()
        deadline = time.monotonic() + CLOSE_TIMEOUT_S
        while self._thread.is_alive() and time.monotonic() < deadline:
            if self._server.connection is not None:
                # Something that the process has left behind may still hold the other end.
                with contextlib.suppress(OSError):
                    self._server.connection.shutdown(socket.SHUT_RDWR)
            self._thread.join(0.05)
        self._server.server_close()
