"""Whether a server could listen where a setting says, before it is started."""

import errno
import socket
import time
from typing import Final

from straightline.errors import ConfigurationError

DEFAULT_PORT: Final = 8000
"""Gunicorn's, where an address has none."""
BIND_TIMEOUT_S: Final = 5.0
"""Seconds for which an address in use is tried again, as gunicorn does: who listened there may be ending."""
BIND_RETRY_INTERVAL_S: Final = 0.25
_HANDED: Final = ("fd://", "unix:")
"""What is no address of an interface: it was bound before, or is a file."""


def check_bind(setting: str, text: str) -> None:
    """Do nothing where one could listen there, now or soon; what gunicorn takes may be said.

    Args:
        setting: the variable, for messages.
        text: addresses, separated by commas.

    Raises:
        ConfigurationError: it is no address, none of this machine, or in use.
    """
    for each in text.split(","):
        address = each.strip()
        if not address.startswith(_HANDED):
            _try(setting, address, *_split(setting, address))


def _split(setting: str, address: str) -> tuple[str, int]:
    host, colon, port = address.removeprefix("tcp://").rpartition(":")
    if not colon or port.endswith("]"):  # the last colon is one of IPv6
        host, port = address.removeprefix("tcp://"), str(DEFAULT_PORT)
    if not port.isdecimal() or int(port) > 65_535:
        raise ConfigurationError(
            f"{setting} is not an address to listen on ({address!r}): write host:port, such as "
            f"127.0.0.1:{DEFAULT_PORT}"
        )
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - as gunicorn reads it


def _try(setting: str, address: str, host: str, port: int) -> None:
    until = time.monotonic() + BIND_TIMEOUT_S
    try:
        while not _listened(host, port, last=time.monotonic() >= until):
            time.sleep(BIND_RETRY_INTERVAL_S)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "it is no host's name"
        raise ConfigurationError(
            f"{setting}: nobody can listen on {address!r} ({why}): name an address of this machine and a "
            f"port that is free, such as 127.0.0.1:{DEFAULT_PORT}, or end what listens there"
        ) from error


def _listened(host: str, port: int, *, last: bool) -> bool:
    """Listen for a moment; False where another one does, unless it is the last try."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server's own
            probe.bind((host, port))
            probe.listen(1)
    except OSError as error:
        if last or error.errno != errno.EADDRINUSE:
            raise
        return False
    return True
