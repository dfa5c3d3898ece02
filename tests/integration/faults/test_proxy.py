"""A fault that the proxy did not inject would make every row of the network pass."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults.harness.proxy import Proxy, Weather

pytestmark = pytest.mark.integration


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that says back what it hears."""
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


def ask(connection: socket.socket, said: bytes = b"hello") -> bytes:
    connection.sendall(said)
    heard = b""
    while len(heard) < len(said):
        more = connection.recv(65536)
        if not more:
            break
        heard += more
    return heard


def refuses(line: Proxy) -> bool:
    try:
        with connect(line) as connection:
            return not ask(connection)
    except ConnectionError:
        return True


def test_a_clear_line_passes_everything_on(line: Proxy) -> None:
    with connect(line) as connection:
        assert ask(connection, b"x" * 300_000) == b"x" * 300_000


def test_a_reset_line_breaks_what_is_and_refuses_what_comes(line: Proxy) -> None:
    with connect(line) as old:
        ask(old)
        line.turn(Weather.RESET)
        with pytest.raises(ConnectionError):
            ask(old)
    assert refuses(line)


def test_a_black_hole_takes_everything_and_answers_nothing(line: Proxy) -> None:
    with connect(line) as connection:
        ask(connection)
        line.turn(Weather.BLACKHOLE)
        with pytest.raises(TimeoutError):
            ask(connection)


def test_a_half_open_line_stays_silent_when_others_are_well_again(line: Proxy) -> None:
    with connect(line) as old:
        ask(old)
        line.turn(Weather.HALF_OPEN)
        line.turn(Weather.CLEAR)
        with connect(line) as new:
            assert ask(new) == b"hello"
        with pytest.raises(TimeoutError):
            ask(old)


@pytest.mark.parametrize(("weather", "least"), [(Weather.SLOW, 0.4), (Weather.NARROW, 0.3)])
def test_a_slow_and_a_narrow_line_take_their_time(line: Proxy, weather: Weather, least: float) -> None:
    with connect(line) as connection:
        connection.settimeout(10)
        ask(connection)
        line.turn(weather)
        began = time.monotonic()
        assert ask(connection, b"x" * 300) == b"x" * 300
        assert time.monotonic() - began >= least


def test_a_cut_line_breaks_within_a_message(line: Proxy) -> None:
    with connect(line) as connection:
        ask(connection)
        line.turn(Weather.CUT)
        try:
            heard = ask(connection, b"0123456789")
        except ConnectionError:
            heard = b""
        assert len(heard) < 10
