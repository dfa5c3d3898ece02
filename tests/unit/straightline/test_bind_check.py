"""An address that no server could listen on is refused before one is started, with the cure."""

import socket
import threading

import pytest

from straightline.errors import ConfigurationError
from straightline.support import bind_check
from straightline.support.bind_check import check_bind

NAME = "STRAIGHTLINE_GATEWAY_BIND"


@pytest.mark.parametrize(
    "good",
    ["127.0.0.1:0", "tcp://127.0.0.1:0", ":0", "[::]:0", "fd://7", "unix:/tmp/x", "127.0.0.1:0, 127.0.0.1:0"],
)
def test_addresses_that_gunicorn_accepts_are_accepted(good: str) -> None:
    check_bind(NAME, good)


@pytest.mark.parametrize("wrong", ["no host", "127.0.0.1:x", "127.0.0.1:70000", "203.0.113.7:8000", "a..b:1"])
def test_an_address_of_another_machine_is_refused_with_the_settings_name(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{NAME}.*such as 127.0.0.1:8000"):
        check_bind(NAME, wrong)


def test_one_in_use_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bind_check, "BIND_TIMEOUT_S", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(
            ConfigurationError, match=f"^{NAME}.*{address}.*in use.*stop the process that uses it"
        ):
            check_bind(NAME, address)
    check_bind(NAME, address)


def test_an_address_whose_server_is_ending_is_awaited() -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{taken.getsockname()[1]}"
    ending = threading.Timer(0.5, taken.close)
    ending.start()
    check_bind(NAME, address)
    ending.join()
