"""kombu connections to the broker, with TLS for an amqps URL."""

import ssl
from typing import Any, Final
from urllib.parse import urlsplit

from kombu import Connection

from straightline.amqp.connection.address import Address, Tls, read_address
from straightline.amqp.connection.parameters import parameters

CONNECT_TIMEOUT_S: Final = 5.0


def connect(url: str) -> Connection:
    """Return a connection to the broker at `url`, not opened yet.

    Raises:
        ConfigurationError: `url` is not an AMQP URL, or names certificates that cannot be used.
    """
    parameters(url, "")  # the same checks as for all other connections
    address = read_address(url)
    return Connection(address.bare, connect_timeout=CONNECT_TIMEOUT_S, ssl=use_ssl(address.tls))


def use_ssl(tls: Tls | None) -> dict[str, Any] | bool:
    """Return the TLS options for kombu and Celery's `broker_use_ssl`; False without TLS."""
    if tls is None:
        return False
    return {
        "server_hostname": tls.host,  # with it, the name in the certificate is checked
        "cert_reqs": ssl.CERT_REQUIRED,
        "ca_certs": tls.cacertfile,
        "certfile": tls.certfile,
        "keyfile": tls.keyfile,
        "tls_minimum_version": ssl.TLSVersion.TLSv1_2,
    }


def port_of(address: Address) -> int:
    """Return the broker's port."""
    return urlsplit(address.url).port or (5672 if address.tls is None else 5671)
