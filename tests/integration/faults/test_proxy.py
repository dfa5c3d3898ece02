"""The proxy injects the faults: otherwise every network case would pass."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults.harness.proxy import LinkState, Proxy

pytestmark = pytest.mark.integration


@pytest.fixture
def echo() -> Iterator[int]:
    """Port of an echo server."""
    server = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield int(server.getsockname()[1])
    server.close()


@pytest.fixture
def line(echo: int) -> Iterator[Proxy]:
    line = Proxy(echo, latency=0.2, rate=1000)
    yield line
    line.close()


def connect(line: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", line.port), timeout=1)


def ask(connection: socket.socket, data: bytes = b"hello") -> bytes:
    connection.sendall(data)
    received = b""
    while len(received) < len(data):
        more = connection.recv(65536)
        if not more:
            break
        received += more
    return received


def refuses(line: Proxy) -> bool:
    try:
        with connect(line) as connection:
            return not ask(connection)
    except ConnectionError:
        return True


def test_a_clear_link_forwards_everything(line: Proxy) -> None:
    with connect(line) as connection:
        assert ask(connection, b"x" * 300_000) == b"x" * 300_000


def test_reset_breaks_present_connections_and_refuses_new_ones(line: Proxy) -> None:
    with connect(line) as old:
        ask(old)
        line.set_state(LinkState.RESET)
        with pytest.raises(ConnectionError):
            ask(old)
    assert refuses(line)


def test_a_black_hole_drops_everything(line: Proxy) -> None:
    with connect(line) as connection:
        ask(connection)
        line.set_state(LinkState.BLACKHOLE)
        with pytest.raises(TimeoutError):
            ask(connection)


def test_a_half_open_connection_stays_silent_after_the_link_is_clear(line: Proxy) -> None:
    with connect(line) as old:
        ask(old)
        line.set_state(LinkState.HALF_OPEN)
        line.set_state(LinkState.CLEAR)
        with connect(line) as new:
            assert ask(new) == b"hello"
        with pytest.raises(TimeoutError):
            ask(old)


@pytest.mark.parametrize(("state", "least"), [(LinkState.SLOW, 0.4), (LinkState.NARROW, 0.3)])
def test_slow_and_narrow_links_delay_data(line: Proxy, state: LinkState, least: float) -> None:
    with connect(line) as connection:
        connection.settimeout(10)
        ask(connection)
        line.set_state(state)
        began = time.monotonic()
        assert ask(connection, b"x" * 300) == b"x" * 300
        assert time.monotonic() - began >= least


def test_a_cut_link_breaks_within_a_message(line: Proxy) -> None:
    with connect(line) as connection:
        ask(connection)
        line.set_state(LinkState.CUT)
        try:
            received = ask(connection, b"0123456789")
        except ConnectionError:
            received = b""
        assert len(received) < 10
