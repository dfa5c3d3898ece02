"""The broker URL.

`amqp://user:password@host:5672/vhost`, or over TLS `amqps://user:password@host:5671/vhost`, where
`?cacertfile=` names the authorities to trust (default: the system's), and `certfile=` and `keyfile=` a client
certificate. The names are those of RabbitMQ's URI query parameters. The broker's certificate must be valid
for the host in the URL; this check cannot be disabled.
"""

from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec

from straightline.errors import ConfigurationError

FORM: Final = "amqp://user:password@host:5672/vhost, or amqps:// for TLS"
_FILES: Final = ("cacertfile", "certfile", "keyfile")
_REFUSED: Final = ("ssl_options", "verify", "fail_if_no_peer_cert", "server_name_indication")
"""Parameters that would let another host answer."""


class Tls(msgspec.Struct, frozen=True):
    """TLS settings of a connection.

    Attributes:
        host: host name that the broker's certificate must be valid for.
        cacertfile: PEM file of trusted authorities; None trusts the system's.
        certfile: PEM file of the client certificate with its chain; None sends none.
        keyfile: PEM file of its key; None where `certfile` contains it.
    """

    host: str
    cacertfile: str | None = None
    certfile: str | None = None
    keyfile: str | None = None


class Address(msgspec.Struct, frozen=True):
    """A parsed broker URL.

    Attributes:
        url: for pika, with user and password, without the TLS parameters.
        tls: None without TLS.
    """

    url: str
    tls: Tls | None

    @property
    def bare(self) -> str:
        """The URL without its query."""
        return self.url.partition("?")[0]


def read_address(url: str) -> Address:
    """Parse a broker URL.

    Raises:
        ConfigurationError: the URL is invalid. Neither the message nor a chained error contains it, since it
            may hold a password.
    """
    problem = None
    try:
        parts = urlsplit(url)
        _ = parts.port  # a password with a slash or a hash ends up here
        asked = dict(parse_qsl(parts.query, keep_blank_values=True))
        if parts.scheme not in ("amqp", "amqps") or not parts.hostname:
            problem = f"the broker URL is invalid: it must look like {FORM}"
        elif (parts.username is None) != (parts.password is None):
            problem = "the broker URL is invalid: it needs a user and a password, or neither"
    except ValueError:
        problem = (
            f"the broker URL is invalid: it must look like {FORM}; percent-encode special characters in "
            "the password"
        )
    if problem is not None:
        raise ConfigurationError(problem)
    refused = [word for word in _REFUSED if word in asked]
    if refused:
        raise ConfigurationError(
            f"the broker URL has {refused[0]!r}, which is not supported: the host's certificate is always "
            "checked. Name the authority to trust with `cacertfile`"
        )
    files = {word: asked.pop(word) for word in _FILES if word in asked}
    if files and parts.scheme != "amqps":
        raise ConfigurationError(f"the broker URL has {next(iter(files))!r} without TLS: write amqps://")
    if "keyfile" in files and "certfile" not in files:
        raise ConfigurationError("the broker URL has a keyfile without a certfile: add certfile=")
    tls = Tls(host=parts.hostname or "", **files) if parts.scheme == "amqps" else None
    return Address(url=parts._replace(query=urlencode(asked)).geturl(), tls=tls)
