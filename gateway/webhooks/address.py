"""Where a webhook may point: never into our own network, unless its host is named in the settings."""

import ipaddress
import re
import socket
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from straightline.errors import ContractError

LONGEST_URL: Final = 2048
_HOST: Final = re.compile(r"[a-z0-9_](\.?[a-z0-9_-])*\.?|[0-9a-f:.]*:[0-9a-f:.]*")
"""A name, or an address of either kind."""

Resolve = Callable[..., Sequence[tuple[Any, ...]]]
"""`socket.getaddrinfo`, or what stands for it in a test."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect to, settled once, so that a name that changes its address leads nowhere else.

    Attributes:
        scheme: `https`, or `http` for a host that the settings name.
        host, port: as in the URL.
        address: the host's IP address.
        path: with its query.
    """

    scheme: str
    host: str
    port: int
    address: str
    path: str


def hosts_of(text: str) -> frozenset[str]:
    """Return the hosts of a setting that names them with commas between."""
    return frozenset(host.strip().lower() for host in text.split(",") if host.strip())


def check_url(url: str, trusted: Collection[str]) -> None:
    """Refuse a URL that could never be called.

    Args:
        url: of the receiver.
        trusted: hosts that may be in our own network, and may speak plain HTTP.

    Raises:
        ContractError: the message says what a URL must be.
    """
    _split(url, trusted)


def resolve(url: str, trusted: Collection[str], look_up: Resolve = socket.getaddrinfo) -> Target:
    """Return where to connect to.

    Raises:
        ContractError: the URL leads where it must not.
        OSError: its host cannot be looked up now.
    """
    scheme, host, port, path = _split(url, trusted)
    found = look_up(host, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    if host not in trusted:
        for address in addresses:
            if not ipaddress.ip_address(address.partition("%")[0]).is_global:
                raise ContractError(
                    f"the webhook's host {host} leads into a private network ({address}): "
                    "name it in STRAIGHTLINE_WEBHOOK_HOSTS where that is meant"
                )
    return Target(scheme, host, port, addresses[0], path)


def _split(url: str, trusted: Collection[str]) -> tuple[str, str, int, str]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ContractError(f"the webhook's URL cannot be read: {error}") from error
    host = (parts.hostname or "").lower()
    schemes = ("https", "http") if host in trusted else ("https",)
    if (
        parts.scheme not in schemes
        or not _HOST.fullmatch(host)
        or parts.username is not None
        or len(url) > LONGEST_URL
        or not url.isascii()
        or not url.isprintable()
        or " " in url
    ):
        raise ContractError(
            "a webhook's URL is https://host/path, in ASCII and without user or password; "
            "http:// is for hosts in STRAIGHTLINE_WEBHOOK_HOSTS alone"
        )
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return parts.scheme, host, port or {"https": 443, "http": 80}[parts.scheme], path
