"""A check, before a server starts, that its address can be bound."""

import errno
import socket
import time
from typing import Final

from straightline.errors import ConfigurationError

DEFAULT_PORT: Final = 8000
"""Gunicorn's default for an address without a port."""
BIND_TIMEOUT_S: Final = 5.0
"""An address in use is tried again for this time, as gunicorn does: its user may be ending."""
BIND_RETRY_INTERVAL_S: Final = 0.25
_HANDED: Final = ("fd://", "unix:")
"""Not addresses of an interface: bound before, or a file."""


def check_bind(setting: str, text: str) -> None:
    """Check that a server could listen on addresses, in gunicorn's format.

    Args:
        setting: the variable's name, for the message.
        text: addresses, separated by commas.

    Raises:
        ConfigurationError: an address is malformed, not of this machine, or in use.
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
            f"{setting} is invalid: {address!r} is not an address to listen on. Write host:port, such as "
            f"127.0.0.1:{DEFAULT_PORT}"
        )
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - as gunicorn reads it


def _try(setting: str, address: str, host: str, port: int) -> None:
    until = time.monotonic() + BIND_TIMEOUT_S
    try:
        while not _listened(host, port, last=time.monotonic() >= until):
            time.sleep(BIND_RETRY_INTERVAL_S)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "unknown host"
        raise ConfigurationError(
            f"{setting} is invalid: cannot listen on {address!r} ({why}). Give an address of this machine "
            f"and a free port, such as 127.0.0.1:{DEFAULT_PORT}, or stop the process that uses it"
        ) from error


def _listened(host: str, port: int, *, last: bool) -> bool:
    """Bind the address for a moment; return False if it is in use and this is not the last try."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
            probe.bind((host, port))
            probe.listen(1)
    except OSError as error:
        if last or error.errno != errno.EADDRINUSE:
            raise
        return False
    return True
