"""Model server that misbehaves on demand: V2 over HTTP, or the Lambda Invoke API."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from tests.faults.harness import scripted_model

MAX_STALL_S: Final = 60.0
Behaviour = Callable[["Handler", bytes], None]


class Handler(BaseHTTPRequestHandler):
    """Answer requests with the server's current behaviour."""

    protocol_version = "HTTP/1.1"
    server: "FakeServer"

    def do_GET(self) -> None:
        """Report readiness."""
        self.reply(200, b'{"ready": true}')

    def do_POST(self) -> None:
        """Answer an infer request or an invocation."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.server.lock:
            self.server.calls.append(time.time())
        self.server.behaviour(self, body)

    def reply(self, status: int, body: bytes, **headers: str) -> None:
        """Send a complete response."""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class FakeServer(ThreadingHTTPServer):
    """Serve on a free port until `close`; `calls` has the time of each call."""

    daemon_threads = True

    def __init__(self, behaviour: Behaviour) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviour = behaviour
        self.calls: list[float] = []
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """URL of the server."""
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """Ignore clients that disconnect."""

    def close(self) -> None:
        """Stop the server and end all pending responses."""
        self.stopping.set()
        self.shutdown()
        self.server_close()


def correct_response(body: bytes) -> bytes:
    """Return the response that the model would give."""
    count = len(json.loads(body)["inputs"][0]["data"])
    reply = {"name": "reply", "datatype": "BYTES", "shape": [count], "data": ["done"] * count}
    return json.dumps({"model_name": scripted_model.NAME, "model_version": "1", "outputs": [reply]}).encode()


def healthy(handler: Handler, body: bytes) -> None:
    """Answer as the model would."""
    handler.reply(200, correct_response(body))


def slow(seconds: float) -> Behaviour:
    """Return a behaviour: correct responses after a delay."""

    def answer(handler: Handler, body: bytes) -> None:
        handler.server.stopping.wait(seconds)
        healthy(handler, body)

    return answer


def half_broken(handler: Handler, body: bytes) -> None:
    """Answer every other request with status 500."""
    if len(handler.server.calls) % 2:
        handler.reply(500, b'{"error": "internal"}')
    else:
        healthy(handler, body)


def truncated(handler: Handler, body: bytes) -> None:
    """Send half of the promised Content-Length and close."""
    answer = correct_response(body)
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(answer)))
    handler.end_headers()
    handler.wfile.write(answer[: len(answer) // 2])
    handler.close_connection = True


def stalled(handler: Handler, body: bytes) -> None:
    """Send the first byte of a response and stall."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(correct_response(body))))
    handler.end_headers()
    handler.wfile.write(b"{")
    handler.wfile.flush()
    handler.server.stopping.wait(MAX_STALL_S)
    handler.close_connection = True


def redirecting(handler: Handler, _body: bytes) -> None:
    """Redirect the caller to the same path."""
    handler.reply(307, b"", Location=handler.path)


def responding(answer: bytes) -> Behaviour:
    """Return a behaviour: always this body."""
    return lambda handler, _: handler.reply(200, answer)


def cycle(behaviours: Sequence[Behaviour]) -> Behaviour:
    """Return a behaviour that cycles through the given ones."""
    return lambda handler, body: behaviours[len(handler.server.calls) % len(behaviours)](handler, body)


def throttled(handler: Handler, _body: bytes) -> None:
    """Throttle as Lambda does above its concurrency limit."""
    error = b'{"Type": "User", "message": "Rate Exceeded."}'
    handler.reply(429, error, X_Amzn_Errortype="TooManyRequestsException")


def function_error(handler: Handler, _body: bytes) -> None:
    """Fail as a Lambda function that crashed."""
    error = b'{"errorType": "Runtime.ExitError", "errorMessage": "Runtime exited with error: signal: killed"}'
    handler.reply(200, error, X_Amz_Function_Error="Unhandled")
