"""Where a webhook may point: never into our own network, unless its host is named in the settings."""

import ipaddress
import re
import socket
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from straightline.errors import ConfigurationError, ContractError

MAX_URL_CHARS: Final = 2048
_HOST: Final = re.compile(r"[a-z0-9_](\.?[a-z0-9_-])*\.?|[0-9a-f:.]*:[0-9a-f:.]*")
"""A name, or an address of either kind."""
_LOCALHOST: Final = re.compile(r"(.+\.)?localhost\.?")
"""Names that stand for the machine itself wherever they are looked up (RFC 6761)."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
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


def parse_hosts(text: str) -> frozenset[str]:
    """Return the hosts of `STRAIGHTLINE_WEBHOOK_HOSTS`, which names them with commas between.

    Raises:
        ConfigurationError: what stands there is no host.
    """
    hosts = frozenset(host.strip().lower() for host in text.split(",") if host.strip())
    for host in sorted(hosts):
        if not _HOST.fullmatch(host) or (":" in host and _literal_address(host) is None):
            raise ConfigurationError(
                f"STRAIGHTLINE_WEBHOOK_HOSTS cannot be used: {host!r} is no host; write names or addresses, "
                "without scheme, port, brackets or path, with commas between, such as hooks.internal,10.0.0.7"
            )
    return hosts


def check_url(url: str, trusted: Collection[str]) -> None:
    """Refuse a URL that could never be called; where a name leads is settled when it is called.

    Args:
        url: of the receiver.
        trusted: hosts that may be in our own network, and may speak plain HTTP.

    Raises:
        ContractError: the message says what a URL must be.
    """
    _, host, _, _ = _split(url, trusted)
    address = _literal_address(host)
    if address is not None:
        _check_public(host, address, trusted)
    elif _LOCALHOST.fullmatch(host):
        _check_public(host, ipaddress.ip_address("127.0.0.1"), trusted)


def resolve(url: str, trusted: Collection[str], look_up: Resolve = socket.getaddrinfo) -> Target:
    """Return where to connect to.

    Raises:
        ContractError: the URL leads where it must not.
        OSError: its host cannot be looked up now.
    """
    scheme, host, port, path = _split(url, trusted)
    found = look_up(host, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:
        _check_public(host, ipaddress.ip_address(address.partition("%")[0]), trusted)
    return Target(scheme, host, port, addresses[0], path)


def _literal_address(host: str) -> Address | None:
    """Return the address that a host is, in any writing of it that is looked up nowhere; None of a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))  # 127.1, 0x7f000001
    except OSError:
        return None


def _check_public(host: str, address: Address, trusted: Collection[str]) -> None:
    if host not in trusted and not address.is_global:
        raise ContractError(
            f"the webhook's host {host} leads into a private network ({address}): whoever runs the gateway "
            "names it in STRAIGHTLINE_WEBHOOK_HOSTS where that is meant"
        )


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
        or len(url) > MAX_URL_CHARS
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
