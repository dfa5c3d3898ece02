"""The broker's URL: who may be asked, and how it is known to be the one that is meant. No I/O.

`amqp://user:password@host:5672/vhost`, or over TLS `amqps://user:password@host:5671/vhost`, where
`?cacertfile=` names the authorities to trust (without it the system's), and `certfile=` and `keyfile=` a
certificate of one's own. The words are those of RabbitMQ's URI query parameters. What answers must have a
certificate for the host in the URL; there is no way to leave that out.
"""

from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec

from straightline.errors import ConfigurationError

FORM: Final = "amqp://user:password@host:5672/vhost, or amqps:// for TLS"
_FILES: Final = ("cacertfile", "certfile", "keyfile")
_REFUSED: Final = ("ssl_options", "verify", "fail_if_no_peer_cert", "server_name_indication")
"""Would let another answer than the host that is named."""


class Tls(msgspec.Struct, frozen=True):
    """How a broker is asked over TLS.

    Attributes:
        host: for which its certificate must be.
        cacertfile: PEM file of the authorities that are trusted; None trusts the system's.
        certfile: PEM file of one's own certificate, with its chain; None has none.
        keyfile: PEM file of its key; None where it stands in `certfile`.
    """

    host: str
    cacertfile: str | None = None
    certfile: str | None = None
    keyfile: str | None = None


class Address(msgspec.Struct, frozen=True):
    """A broker's URL as read.

    Attributes:
        url: as pika takes it, with user and password, without what `tls` says.
        tls: None without TLS.
    """

    url: str
    tls: Tls | None

    @property
    def bare(self) -> str:
        """The URL without any query."""
        return self.url.partition("?")[0]


def read_address(url: str) -> Address:
    """Read a broker's URL.

    Raises:
        ConfigurationError: it is not one. The message does not repeat it, nor does any error behind it, since
            it may hold a password.
    """
    problem = None
    try:
        parts = urlsplit(url)
        _ = parts.port  # a password with a slash or a hash ends up here
        asked = dict(parse_qsl(parts.query, keep_blank_values=True))
        if parts.scheme not in ("amqp", "amqps") or not parts.hostname:
            problem = f"the broker's URL must look like {FORM}"
        elif (parts.username is None) != (parts.password is None):
            problem = "the broker's URL needs a user and a password, or neither"
    except ValueError:
        problem = (
            f"the broker's URL cannot be read: it must look like {FORM}; percent-encode what is special "
            "in the password"
        )
    if problem is not None:
        raise ConfigurationError(problem)
    refused = [word for word in _REFUSED if word in asked]
    if refused:
        raise ConfigurationError(
            f"the broker's URL has {refused[0]!r}: the certificate of the host in the URL is always checked; "
            "`cacertfile` names whom to trust"
        )
    files = {word: asked.pop(word) for word in _FILES if word in asked}
    if files and parts.scheme != "amqps":
        raise ConfigurationError(f"the broker's URL has {next(iter(files))!r} without TLS: write amqps://")
    if "keyfile" in files and "certfile" not in files:
        raise ConfigurationError("the broker's URL has a keyfile without a certfile")
    tls = Tls(host=parts.hostname or "", **files) if parts.scheme == "amqps" else None
    return Address(url=parts._replace(query=urlencode(asked)).geturl(), tls=tls)
