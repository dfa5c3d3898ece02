"""AWS Lambda's Runtime API, one endpoint on loopback for each instance.

Source: "Using the Lambda runtime API for custom runtimes" in AWS's developer guide. An instance has an
endpoint of its own since nothing in the runtime's requests tells which instance sends them.
"""

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any, Final

import msgspec
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.routing import Map, Rule
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler
from werkzeug.wrappers import Request, Response

from modelkit.functions.channel import Channel, RuntimeAnswer

_ROOT: Final = "/2018-06-01/runtime"
_ROUTES: Final = Map(
    [
        Rule(f"{_ROOT}/invocation/next", methods=["GET"], endpoint="next"),
        Rule(f"{_ROOT}/invocation/<request_id>/response", methods=["POST"], endpoint="response"),
        Rule(f"{_ROOT}/invocation/<request_id>/error", methods=["POST"], endpoint="error"),
        Rule(f"{_ROOT}/init/error", methods=["POST"], endpoint="init_error"),
    ]
)
_LOOPBACK: Final = "127.0.0.1"


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"  # the runtime keeps its connection
    disable_nagle_algorithm = True  # head and body are two writes

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing: the host's own log tells what matters."""


class _Server(BaseWSGIServer):
    connection: socket.socket | None = None

    def get_request(self) -> tuple[socket.socket, Any]:
        self.connection, address = super().get_request()
        return self.connection, address

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
        """Say nothing: it would tell of each connection that an ending process breaks."""


class Endpoint:
    """Serves one instance's runtime, which sends one request at a time, in a thread of its own."""

    def __init__(self, channel: Channel) -> None:
        """Listen on a free port of loopback.

        Raises:
            OSError: there is none.
        """
        self._server = _Server(_LOOPBACK, 0, _application(channel), _Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="runtime-api", daemon=True
        )
        self._thread.start()

    @property
    def address(self) -> str:
        """Host and port, as `AWS_LAMBDA_RUNTIME_API` holds them."""
        return f"{_LOOPBACK}:{self._server.port}"

    def close(self) -> None:
        """Stop listening and break the connection; the channel must be closed, or `next` goes on waiting."""
        if self._server.connection is not None:
            # Something that the process has left behind may still hold the other end.
            with contextlib.suppress(OSError):
                self._server.connection.shutdown(socket.SHUT_RDWR)
        self._server.shutdown()
        self._thread.join()


def _application(channel: Channel) -> Any:
    @Request.application
    def application(request: Request) -> Response:
        try:
            endpoint, values = _ROUTES.bind_to_environ(request.environ).match()
            return _ANSWERS[endpoint](channel, request, **values)
        except HTTPException as error:
            content = {"errorMessage": error.name, "errorType": "InvalidRequest"}
            return Response(msgspec.json.encode(content), error.code, content_type="application/json")

    return application


def _next(channel: Channel, _request: Request) -> Response:
    invocation = channel.next()
    if invocation is None:
        return Response(status=410)  # the instance is being ended
    headers = {
        "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
        "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
        "Lambda-Runtime-Invoked-Function-Arn": invocation.arn,
    }
    if invocation.client_context is not None:
        headers["Lambda-Runtime-Client-Context"] = invocation.client_context
    return Response(invocation.event, 200, headers, content_type="application/json")


def _response(channel: Channel, request: Request, request_id: str) -> Response:
    return _taken(channel.answer(request_id, RuntimeAnswer(request.get_data(), failed=False)))


def _error(channel: Channel, request: Request, request_id: str) -> Response:
    return _taken(channel.answer(request_id, RuntimeAnswer(request.get_data(), failed=True)))


def _init_error(channel: Channel, request: Request) -> Response:
    channel.init_failed(request.get_data())
    return _accepted()


def _taken(known: bool) -> Response:
    if not known:
        raise NotFound("no such invocation is under way")
    return _accepted()


def _accepted() -> Response:
    return Response(b'{"status":"OK"}\n', 202, content_type="application/json")


_ANSWERS: Final[dict[str, Callable[..., Response]]] = {
    "next": _next,
    "response": _response,
    "error": _error,
    "init_error": _init_error,
}
