"""A model server that misbehaves on demand: V2 over HTTP, or AWS Lambda's Invoke API."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from tests.faults.harness import mind

STALL: Final = 60.0
Answer = Callable[["Handler", bytes], None]


class Handler(BaseHTTPRequestHandler):
    """Answers one request as the server's present manner is."""

    protocol_version = "HTTP/1.1"
    server: "FakeServer"

    def do_GET(self) -> None:
        """Be ready."""
        self.reply(200, b'{"ready": true}')

    def do_POST(self) -> None:
        """Answer an inference or an invocation."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.server.lock:
            self.server.calls.append(time.time())
        self.server.manner(self, body)

    def reply(self, status: int, body: bytes, **headers: str) -> None:
        """Send a whole answer."""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class FakeServer(ThreadingHTTPServer):
    """Runs on a free port until `close`; `calls` has the times of the calls."""

    daemon_threads = True

    def __init__(self, manner: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.manner = manner
        self.calls: list[float] = []
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """Who broke off is no news here."""

    def close(self) -> None:
        """Stop, and end all waiting responses."""
        self.stopping.set()
        self.shutdown()
        self.server_close()


def right(body: bytes) -> bytes:
    """Return the answer that the model would give."""
    count = len(json.loads(body)["inputs"][0]["data"])
    said = {"name": "said", "datatype": "BYTES", "shape": [count], "data": ["done"] * count}
    return json.dumps({"model_name": mind.NAME, "model_version": "1", "outputs": [said]}).encode()


def well(handler: Handler, body: bytes) -> None:
    """Answer as the model does."""
    handler.reply(200, right(body))


def slow(seconds: float) -> Answer:
    """Make a manner: right, but late."""

    def answer(handler: Handler, body: bytes) -> None:
        handler.server.stopping.wait(seconds)
        well(handler, body)

    return answer


def half_broken(handler: Handler, body: bytes) -> None:
    """Answer every other request with an error of the server."""
    if len(handler.server.calls) % 2:
        handler.reply(500, b'{"error": "internal"}')
    else:
        well(handler, body)


def truncated(handler: Handler, body: bytes) -> None:
    """Promise more than is sent."""
    answer = right(body)
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(answer)))
    handler.end_headers()
    handler.wfile.write(answer[: len(answer) // 2])
    handler.close_connection = True


def stalled(handler: Handler, body: bytes) -> None:
    """Begin an answer and never end it."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(right(body))))
    handler.end_headers()
    handler.wfile.write(b"{")
    handler.wfile.flush()
    handler.server.stopping.wait(STALL)
    handler.close_connection = True


def redirecting(handler: Handler, _body: bytes) -> None:
    """Send the caller back to where it is."""
    handler.reply(307, b"", Location=handler.path)


def saying(answer: bytes) -> Answer:
    """Make a manner: always these bytes."""
    return lambda handler, _: handler.reply(200, answer)


def in_turn(manners: Sequence[Answer]) -> Answer:
    """Make a manner: these, one after the other, and again."""
    return lambda handler, body: manners[len(handler.server.calls) % len(manners)](handler, body)


def throttled(handler: Handler, _body: bytes) -> None:
    """Refuse as Lambda does where too many run."""
    error = b'{"Type": "User", "message": "Rate Exceeded."}'
    handler.reply(429, error, X_Amzn_Errortype="TooManyRequestsException")


def function_error(handler: Handler, _body: bytes) -> None:
    """Fail as a function does that ended by an exception."""
    error = b'{"errorType": "Runtime.ExitError", "errorMessage": "Runtime exited with error: signal: killed"}'
    handler.reply(200, error, X_Amz_Function_Error="Unhandled")
