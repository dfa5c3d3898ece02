"""Each failure of a model server has its class. The servers are misbehaving sockets."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from straightline.contracts import ModelSpec, TensorSpec
from straightline.errors import ConfigurationError
from workers.protocol.errors import BackendFault, ModelError, WrongInput
from workers.protocol.v2_http import V2Client

pytestmark = pytest.mark.integration

Serve = Callable[..., V2Client]
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Drip(bytes):
    """An answer whose head comes at once, and the rest of it byte by byte."""


class DripAll(Drip):
    """An answer that comes byte by byte from its first one on."""


@pytest.fixture
def model() -> ModelSpec:
    tensor = TensorSpec(name="x", datatype="FP32", shape=(-1, 2))
    return ModelSpec(name="double", version="1", inputs=(tensor,), outputs=(tensor,))


def read_request(connection: socket.socket) -> None:
    """Read the head and the two bytes of the body: closing with unread bytes would reset the connection."""
    heard = b""
    while not heard.endswith(b"\r\n\r\n" if heard.startswith(b"GET") else b"\r\n\r\n{}"):
        piece = connection.recv(65536)
        if not piece:
            return
        heard += piece


def drip(connection: socket.socket, words: Drip, done: threading.Event) -> None:
    head, end, rest = words.partition(b"\r\n\r\n")
    if isinstance(words, DripAll):
        head, end, rest = b"", b"", bytes(words)
    connection.sendall(head + end)
    with contextlib.suppress(OSError):
        for position in range(len(rest)):
            if done.wait(0.05):
                return
            connection.sendall(rest[position : position + 1])


@pytest.fixture
def closed() -> threading.Event:
    """Set when the server has closed a connection."""
    return threading.Event()


@pytest.fixture
def serve(closed: threading.Event) -> Iterator[Serve]:
    """Answer the requests of each connection by the next script, then close it; None waits instead."""
    listener = socket.create_server(("127.0.0.1", 0))
    done = threading.Event()
    threads: list[threading.Thread] = []

    def speak(scripts: list[list[bytes | None]]) -> None:
        for script in scripts:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                for words in script:
                    read_request(connection)
                    if words is None:
                        done.wait(10)
                    elif isinstance(words, Drip):
                        drip(connection, words, done)
                    else:
                        connection.sendall(words)
            closed.set()

    def start(*scripts: list[bytes | None], max_response: int = 1000) -> V2Client:
        thread = threading.Thread(target=speak, args=(list(scripts),))
        thread.start()
        threads.append(thread)
        return V2Client(f"http://127.0.0.1:{listener.getsockname()[1]}", max_response=max_response)

    yield start
    done.set()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for thread in threads:
        thread.join()


def http(status: int, body: bytes = b"", headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n%s\r\n%s" % (status, len(body), headers, body)


def fault(client: V2Client, model: ModelSpec, timeout: float = 5.0) -> str:
    with pytest.raises(BackendFault) as caught:
        client.infer(model, b"{}", timeout)
    return caught.value.error_class


def test_the_body_of_a_good_answer_is_returned(serve: Serve, model: ModelSpec) -> None:
    assert serve([ANSWER]).infer(model, b"{}", 5.0) == b"{}"


@pytest.mark.parametrize(
    ("answer", "error_class"),
    [
        (http(500, b'{"error": "x"}'), "crashed"),
        (http(502), "crashed"),
        (http(503), "throttled"),
        (http(429), "throttled"),
        (http(404, b'{"error": "no such model"}'), "not_deployed"),
        (http(413), "too_large"),
        (http(507), "out_of_memory"),
        (http(301, headers=b"Location: http://127.0.0.1:1/\r\n"), "bad_protocol"),
        (http(200, b"x" * 1001), "bad_protocol"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", "bad_protocol"),
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", "bad_protocol"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", "bad_protocol"),
    ],
)
def test_each_http_status_has_its_fault_class(
    serve: Serve, model: ModelSpec, answer: bytes, error_class: str
) -> None:
    assert fault(serve([answer]), model) == error_class


@pytest.mark.parametrize(("status", "kind"), [(400, WrongInput), (422, ModelError)])
def test_a_models_error_keeps_its_message(
    serve: Serve, model: ModelSpec, status: int, kind: type[ModelError]
) -> None:
    with pytest.raises(ModelError, match="x is below zero") as error:
        serve([http(status, b'{"error": "x is below zero"}')]).infer(model, b"{}", 5.0)
    assert type(error.value) is kind


def test_a_server_that_does_not_answer_times_out(serve: Serve, model: ModelSpec) -> None:
    assert fault(serve([None]), model, 0.2) == "timed_out"


def test_a_server_that_closes_without_an_answer_has_crashed(serve: Serve, model: ModelSpec) -> None:
    assert fault(serve([b""], [b""]), model) == "crashed"


def test_a_response_before_the_end_of_the_request_is_read(model: ModelSpec) -> None:
    """As of a server that refuses a body for its length, and closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(http(413, headers=b"Connection: close\r\n"))
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(1.0)
                with contextlib.suppress(OSError):
                    connection.recv(1024)

        thread = threading.Thread(target=refuse)
        thread.start()
        client = V2Client(f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(BackendFault) as caught:
            client.infer(model, b"x" * 20_000_000, 5.0)
        thread.join()
    assert caught.value.error_class == "too_large"


@pytest.mark.parametrize("url", ["http://[::1]", "http://localhost", "https://localhost"])
def test_a_url_without_a_port_means_that_of_its_scheme(url: str, model: ModelSpec) -> None:
    with pytest.raises(BackendFault) as caught:
        V2Client(url).infer(model, b"{}", 1.0)
    assert caught.value.error_class == "unreachable"


def test_a_server_without_tls_is_reported_as_such(model: ModelSpec) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def speak() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"no TLS here")
                connection.recv(1024)

        thread = threading.Thread(target=speak)
        thread.start()
        with pytest.raises(BackendFault, match="TLS") as caught:
            V2Client(f"https://127.0.0.1:{listener.getsockname()[1]}").infer(model, b"{}", 5.0)
        thread.join()
    assert caught.value.error_class == "unreachable"


def test_a_closed_idle_connection_is_reopened(
    serve: Serve, model: ModelSpec, closed: threading.Event
) -> None:
    client = serve([ANSWER], [ANSWER])
    assert client.infer(model, b"{}", 5.0) == b"{}"
    assert closed.wait(5)
    assert client.infer(model, b"{}", 5.0) == b"{}"


def test_a_request_that_crashes_the_server_is_not_repeated(serve: Serve, model: ModelSpec) -> None:
    """On a kept connection too: a server with several processes would lose one more of them to it."""
    client = serve([ANSWER, b""], [ANSWER])
    assert client.infer(model, b"{}", 5.0) == b"{}"
    assert fault(client, model) == "crashed"


def test_a_health_check_survives_a_closed_idle_connection(serve: Serve) -> None:
    client = serve([ANSWER, b""], [ANSWER])
    assert client.ready().ok
    assert client.ready().ok


@pytest.mark.parametrize("drips", [Drip, DripAll])
def test_a_slowly_sent_response_times_out(serve: Serve, model: ModelSpec, drips: type[Drip]) -> None:
    began = time.monotonic()
    assert fault(serve([drips(http(200, b"x" * 100))]), model, 0.3) == "timed_out"
    assert time.monotonic() - began < 2.0


def test_a_port_without_a_listener_is_unreachable(model: ModelSpec) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    client = V2Client(f"http://127.0.0.1:{port}")
    assert fault(client, model) == "unreachable"
    assert not client.ready().ok


@pytest.mark.parametrize("url", ["", "127.0.0.1:80", "ftp://x", "http://", "http://[::1"])
def test_an_invalid_url_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigurationError):
        V2Client(url)
