"""The Runtime API of one instance, with valid and invalid clients."""

import errno
import http.client
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from function_host.instances.channel import (
    MAX_PAYLOAD_BYTES,
    Channel,
    InitFailed,
    InstanceGone,
    Invocation,
    RuntimeResponse,
)
from function_host.instances.instance import Instance
from function_host.instances.runtime_api import Endpoint
from function_host.packages import Function
from tests.integration.modelkit.processes import command, descendants

pytestmark = pytest.mark.integration
RUNTIME = "/2018-06-01/runtime"


@pytest.fixture
def channel() -> Channel:
    return Channel()


@pytest.fixture
def endpoint(channel: Channel) -> Iterator[Endpoint]:
    made = Endpoint(channel)
    yield made
    channel.close(InstanceGone("exit status 0"))
    made.close()


@pytest.fixture
def connection(endpoint: Endpoint) -> Iterator[http.client.HTTPConnection]:
    made = http.client.HTTPConnection(endpoint.address, timeout=10)
    yield made
    made.close()


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None
) -> http.client.HTTPResponse:
    connection.request(method, RUNTIME + path, body)
    answer = connection.getresponse()
    answer.body = answer.read()  # type: ignore[attr-defined] # kept with the response
    return answer


def offer(channel: Channel) -> Invocation:
    invocation = Invocation("id-1", b'{"n": 1}', 1234, "arn:f", client_context='{"a": 1}')
    channel.offer(invocation)
    return invocation


def test_event_and_response_use_one_connection(
    channel: Channel, connection: http.client.HTTPConnection
) -> None:
    invocation = offer(channel)
    taken = ask(connection, "GET", "/invocation/next")
    assert channel.ready.done()
    assert taken.headers["Lambda-Runtime-Aws-Request-Id"] == "id-1"
    assert taken.headers["Lambda-Runtime-Deadline-Ms"] == "1234"
    assert taken.headers["Lambda-Runtime-Invoked-Function-Arn"] == "arn:f"
    assert taken.headers["Lambda-Runtime-Client-Context"] == '{"a": 1}'
    assert taken.body == b'{"n": 1}'  # type: ignore[attr-defined]
    kept = connection.sock
    assert ask(connection, "POST", "/invocation/id-1/response", b"2").status == 202
    assert invocation.response.result(10) == RuntimeResponse(b"2", failed=False)
    assert connection.sock is kept


def test_a_handler_error_is_marked_as_failed(
    channel: Channel, connection: http.client.HTTPConnection
) -> None:
    invocation = offer(channel)
    ask(connection, "GET", "/invocation/next")
    assert ask(connection, "POST", "/invocation/id-1/error", b'{"errorType": "E"}').status == 202
    assert invocation.response.result(10).failed


def test_only_the_first_response_of_the_running_invocation_counts(
    channel: Channel, connection: http.client.HTTPConnection
) -> None:
    invocation = offer(channel)
    ask(connection, "GET", "/invocation/next")
    assert ask(connection, "POST", "/invocation/id-0/response", b"0").status == 404
    assert not invocation.response.done()
    assert ask(connection, "POST", "/invocation/id-1/response", b"1").status == 202
    assert ask(connection, "POST", "/invocation/id-1/response", b"2").status == 404
    assert invocation.response.result(10).payload == b"1"


def test_a_too_large_response_is_discarded(channel: Channel, connection: http.client.HTTPConnection) -> None:
    invocation = offer(channel)
    ask(connection, "GET", "/invocation/next")
    assert ask(connection, "POST", "/invocation/id-1/response", b"x" * (MAX_PAYLOAD_BYTES + 1)).status == 202
    assert invocation.response.result(10) == RuntimeResponse(b"", failed=False, too_large=True)
    assert ask(connection, "POST", "/nonsense", b"").status == 404


def test_a_failed_initialisation_is_raised_to_the_waiter(
    channel: Channel, connection: http.client.HTTPConnection
) -> None:
    assert ask(connection, "POST", "/init/error", b'{"errorType": "E"}').status == 202
    with pytest.raises(InitFailed) as caught:
        channel.ready.result(10)
    assert caught.value.payload == b'{"errorType": "E"}'


def test_unknown_requests_are_refused_and_the_endpoint_continues(
    channel: Channel, connection: http.client.HTTPConnection
) -> None:
    assert ask(connection, "GET", "/nothing").status == 404
    assert ask(connection, "POST", "/invocation/response", b"").status == 404
    assert ask(connection, "PUT", "/init/error", b"").status == 501
    connection.putrequest("POST", f"{RUNTIME}/init/error")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    refused = connection.getresponse()
    refused.read()
    assert refused.status == 411
    offer(channel)
    assert ask(connection, "GET", "/invocation/next").status == 200


def test_an_ended_instance_fails_pending_and_later_invocations(channel: Channel) -> None:
    before = offer(channel)
    channel.close(InstanceGone("signal: killed"))
    after = offer(channel)
    for future in (before.response, after.response, channel.ready):
        with pytest.raises(InstanceGone, match="signal: killed"):
            future.result(10)


@pytest.mark.parametrize("whole", [True, False])
def test_an_unread_event_is_distinguished_from_a_crash(
    channel: Channel, endpoint: Endpoint, whole: bool
) -> None:
    host, _, port = endpoint.address.partition(":")
    invocation = offer(channel)
    with socket.create_connection((host, int(port))) as runtime:
        runtime.sendall(f"GET {RUNTIME}/invocation/next HTTP/1.1\r\n\r\n".encode())
        heard = b""
        while not heard.endswith(b'{"n": 1}' if whole else b"HTTP"):
            heard += runtime.recv(1)
    channel.stop()
    endpoint.close()
    assert channel.was_read(invocation) is whole


def test_an_event_after_the_end_of_the_runtime_is_unread(channel: Channel, endpoint: Endpoint) -> None:
    host, _, port = endpoint.address.partition(":")
    with socket.create_connection((host, int(port))) as runtime:
        runtime.sendall(f"GET {RUNTIME}/invocation/next HTTP/1.1\r\n\r\n".encode())
        channel.ready.result(10)
    invocation = offer(channel)
    channel.stop()
    endpoint.close()
    assert not channel.was_read(invocation)


def test_an_unwatchable_instance_is_cleaned_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_descriptor(*_: object) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(os, "pidfd_open", no_descriptor)
    threads = set(threading.enumerate())
    with pytest.raises(OSError, match="too many"):
        Instance(Function(name="f", handler="f.unwatched", directory=tmp_path), 1)
    assert not [pid for pid in descendants(os.getpid()) if b"f.unwatched" in command(pid)]
    assert set(threading.enumerate()) <= threads
