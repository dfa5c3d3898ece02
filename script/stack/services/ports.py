"""Free TCP ports on the loopback interface."""

import random
import socket
from typing import Final

from script.support.errors import StackError

FIRST_PORT: Final = 20_000
LAST_PORT: Final = 31_999
"""Below Linux's ephemeral range, so that no outgoing connection takes a port before it is used."""


def free_ports(count: int) -> list[int]:
    """Return `count` different ports without a listener.

    Raises:
        StackError: there are fewer.
    """
    candidates = random.SystemRandom().sample(range(FIRST_PORT, LAST_PORT + 1), LAST_PORT - FIRST_PORT + 1)
    found: list[int] = []
    for port in candidates:
        if len(found) == count:
            return found
        if _is_free(port):
            found.append(port)
    raise StackError(f"no {count} free TCP ports between {FIRST_PORT} and {LAST_PORT}")


def accepts(port: int) -> bool:
    """Whether a loopback port accepts connections."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _is_free(port: int) -> bool:
    # The wildcard address: a listener on any interface would conflict with ours.
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True
