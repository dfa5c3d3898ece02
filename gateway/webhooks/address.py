"""SSRF guard: webhooks reach public addresses and allowlisted hosts only."""

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
"""A host name, or an IPv4 or IPv6 address."""
_LOCALHOST: Final = re.compile(r"(.+\.)?localhost\.?")
"""Names of the local machine (RFC 6761)."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[..., Sequence[tuple[Any, ...]]]
"""The signature of `socket.getaddrinfo`."""


@dataclass(frozen=True, slots=True)
class Target:
    """The resolved receiver of a call. Its address is fixed, so that DNS rebinding has no effect.

    Attributes:
        scheme: `https`, or `http` for an allowlisted host.
        host, port: as in the URL.
        address: IP address of the host.
        path: path and query.
    """

    scheme: str
    host: str
    port: int
    address: str
    path: str


def parse_hosts(text: str) -> frozenset[str]:
    """Parse `STRAIGHTLINE_WEBHOOK_HOSTS`, a comma-separated list.

    Raises:
        ConfigurationError: an entry is not a host.
    """
    hosts = frozenset(host.strip().lower() for host in text.split(",") if host.strip())
    for host in sorted(hosts):
        if not _HOST.fullmatch(host) or (":" in host and _literal_address(host) is None):
            raise ConfigurationError(
                f"STRAIGHTLINE_WEBHOOK_HOSTS is invalid: {host!r} is not a host. List names or addresses "
                "without scheme, port, brackets or path, separated by commas, such as hooks.internal,10.0.0.7"
            )
    return hosts


def check_url(url: str, trusted: Collection[str]) -> None:
    """Check a URL before it is registered. Host names are resolved and checked at each call only.

    Args:
        url: URL of the receiver.
        trusted: allowlisted hosts, which may be private and use plain HTTP.

    Raises:
        ContractError: the URL is malformed or its host is a private address.
    """
    _, host, _, _ = _split(url, trusted)
    address = _literal_address(host)
    if address is not None:
        _check_public(host, address, trusted)
    elif _LOCALHOST.fullmatch(host):
        _check_public(host, ipaddress.ip_address("127.0.0.1"), trusted)


def resolve(url: str, trusted: Collection[str], look_up: Resolve = socket.getaddrinfo) -> Target:
    """Resolve the host of a URL and check every address.

    Raises:
        ContractError: the URL is malformed or resolves to a private address.
        OSError: the host cannot be resolved.
    """
    scheme, host, port, path = _split(url, trusted)
    found = look_up(host, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:
        _check_public(host, ipaddress.ip_address(address.partition("%")[0]), trusted)
    return Target(scheme, host, port, addresses[0], path)


def _literal_address(host: str) -> Address | None:
    """Return the address that a host spells in any notation; None for a name."""
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
            f"the webhook's host {host} is in a private network ({address}): use a public host, or let the "
            "operator add it to STRAIGHTLINE_WEBHOOK_HOSTS"
        )


def _split(url: str, trusted: Collection[str]) -> tuple[str, str, int, str]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ContractError(f"the webhook's URL is malformed: {error}") from error
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
            "a webhook's URL must be https://host/path, in ASCII and without user or password; "
            "http:// is for hosts in STRAIGHTLINE_WEBHOOK_HOSTS only"
        )
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return parts.scheme, host, port or {"https": 443, "http": 80}[parts.scheme], path
