"""What the commands make of a gateway that is not there, not well, or none at all."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Self

import pytest

from straightline import client
from straightline.cli import main
from straightline.cli.gateway import GatewayClient
from straightline.contracts import ModelList
from straightline.contracts.cancel import CancelResult
from straightline.errors import (
    ConfigurationError,
    GatewayUnavailable,
    NoResult,
    NotFound,
    Rejected,
    ResultTimeout,
    SchedulerUnreachable,
)
from straightline.ids import new_id


@contextmanager
def answering(status: int, body: bytes, **headers: str) -> Iterator[tuple[str, list[Any]]]:
    """Answer every request alike; yields the URL, and what was asked."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, dict(self.headers)))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_key_and_the_path_are_sent_as_they_should() -> None:
    with answering(200, b'{"models": []}') as (url, asked):
        GatewayClient(f"{url}/below/", "sl_key").get(ModelList, "models", "a/b ?", since="1 h")
    ((path, headers),) = asked
    assert path == "/below/v1/models/a%2Fb%20%3F?since=1+h"
    assert headers["Authorization"] == "Bearer sl_key"


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (200, b"<html>", GatewayUnavailable, "cannot be read"),
        (200, b'{"models": 7}', GatewayUnavailable, "cannot be read"),
        (200, b"", GatewayUnavailable, "cannot be read"),
        (302, b"", Rejected, "302"),
        (400, b'{"detail": "since is none"}', Rejected, "since is none"),
        (401, b'{"detail": "no such key"}', ConfigurationError, "no such key"),
        (403, b'{"detail": "no such scope"}', ConfigurationError, "no such scope"),
        (404, b"<html>", Rejected, "404"),
        (404, b'{"type": "/problems/unknown_request", "detail": "never came"}', NotFound, "never came"),
        (
            503,
            b'{"error_class": "nobody_to_ask", "detail": "nobody leads"}',
            SchedulerUnreachable,
            "nobody leads",
        ),
        (409, b'{"detail": "wait", "state": "held"}', ResultTimeout, "wait"),
        (409, b'{"detail": "bad", "state": "failed", "request_id": "i"}', NoResult, "ended failed"),
        (429, b'{"detail": "full", "retry_after": 3}', GatewayUnavailable, "full"),
        (500, b"\xff", GatewayUnavailable, "500"),
        (503, b'{"detail": "the ledger is away"}', GatewayUnavailable, "ledger"),
    ],
)
def test_each_trouble_is_an_error_of_its_own(
    status: int, body: bytes, kind: type[Exception], words: str
) -> None:
    with answering(status, body) as (url, _), pytest.raises(kind, match=words):
        GatewayClient(url, None).get(ModelList, "models")


def test_how_long_to_wait_is_kept() -> None:
    with answering(503, b"", Retry_After="7") as (url, _), pytest.raises(GatewayUnavailable) as caught:
        GatewayClient(url, None).get(ModelList, "models")
    assert caught.value.retry_after == 7


def test_a_redirect_does_not_take_the_key_elsewhere() -> None:
    with answering(200, b'{"models": []}') as (other, stolen):
        with answering(307, b"", Location=other) as (url, _), pytest.raises(Rejected):
            GatewayClient(url, "sl_key").get(ModelList, "models")
        assert stolen == []


def test_a_gateway_that_does_not_answer_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        gateway = GatewayClient(f"http://127.0.0.1:{silent.getsockname()[1]}", None, timeout_s=0.2)
        with pytest.raises(GatewayUnavailable, match="timed out"):
            gateway.get(ModelList, "models")


@pytest.mark.parametrize(
    "url",
    ["", "gateway", "ftp://x", "http://", "http://x:port", "http://x?a", "http://u:secret@x", "http://[x"],
)
def test_an_invalid_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="STRAIGHTLINE_GATEWAY_URL") as caught:
        GatewayClient(url, None)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("key", ["a b", "a\nb", "ä"])
def test_an_invalid_key_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ConfigurationError, match="STRAIGHTLINE_API_KEY") as caught:
        GatewayClient("http://x", key)
    assert key not in str(caught.value)


def test_an_unreachable_gateway_ends_with_exit_code_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STRAIGHTLINE_GATEWAY_URL", "http://127.0.0.1:1")
    monkeypatch.delenv("STRAIGHTLINE_API_KEY", raising=False)
    assert main(["models"]) == 3
    assert "refused" in capsys.readouterr().err


def test_without_a_setting_the_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("STRAIGHTLINE_GATEWAY_URL", raising=False)
    assert main(["models"]) == 2
    assert "STRAIGHTLINE_GATEWAY_URL" in capsys.readouterr().err
    assert main(["failures", "--since", "1h"]) == 2


class Wisher:
    """A client whose wish to cancel is met by a scheduler that does not know of the end yet."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.verdict: CancelResult = "noted"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def cancel(self, _id: str, _timeout: float) -> CancelResult:
        return self.verdict


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b'{"id": "i", "state": "cancelled"}', "is cancelled\n"),
        (200, b'{"id": "i", "state": "succeeded"}', "had already ended\n"),
        (200, b'{"id": "i", "state": "running"}', "is in progress"),
        (503, b'{"detail": "no ledger"}', "is in progress"),
        (401, b'{"detail": "no such key"}', "is in progress"),
    ],
)
def test_cancelling_an_ended_request_reports_its_end_if_the_gateway_knows_it(
    status: int,
    body: bytes,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(client, "Client", Wisher)
    monkeypatch.setenv("STRAIGHTLINE_BROKER_URL", "amqp://127.0.0.1:1/")
    identity = new_id()
    with answering(status, body) as (url, asked):
        monkeypatch.setenv("STRAIGHTLINE_GATEWAY_URL", url)
        assert main(["cancel", identity]) == 0
        assert len(asked) == 1
    assert words in capsys.readouterr().out
    assert main(["cancel", identity]) == 0  # and the gateway is gone
    assert "is in progress" in capsys.readouterr().out
