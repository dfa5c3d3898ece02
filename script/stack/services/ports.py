"""Free TCP ports on the loopback interface."""

import random
import socket
from typing import Final

from script.support.errors import StackError

FIRST_PORT: Final = 20_000
LAST_PORT: Final = 31_999
"""Below Linux's ephemeral range: no outgoing connection takes a port between its choice and its use."""


def free_ports(count: int) -> list[int]:
    """Return so many different ports on which nobody listens.

    Raises:
        StackError: there are not so many.
    """
    candidates = random.SystemRandom().sample(range(FIRST_PORT, LAST_PORT + 1), LAST_PORT - FIRST_PORT + 1)
    found: list[int] = []
    for port in candidates:
        if len(found) == count:
            return found
        if _is_free(port):
            found.append(port)
    raise StackError(f"there are no {count} free TCP ports between {FIRST_PORT} and {LAST_PORT}")


def accepts(port: int) -> bool:
    """Whether somebody accepts connections on that port of the loopback interface."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _is_free(port: int) -> bool:
    # The wildcard address: a listener on any interface would make ours fail, or answer in its place.
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True
