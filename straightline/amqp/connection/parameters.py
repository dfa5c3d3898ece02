"""pika's connection parameters from a broker URL."""

from typing import Final

import pika

from straightline.amqp.connection import tls
from straightline.amqp.connection.address import FORM, read_address
from straightline.errors import ConfigurationError

HEARTBEAT_S: Final = 8
"""The broker detects a dead client after twice this time. A client detects a dead broker after 26 s: pika
checks every `HEARTBEAT_S` + 5 s and gives up after two checks without traffic."""


def parameters(url: str, name: str) -> pika.URLParameters:
    """Parse an AMQP URL.

    Args:
        url: see `straightline.amqp.connection.address`.
        name: shown as the connection's name in the broker's tools.

    Raises:
        ConfigurationError: the URL is invalid, or a certificate file in it cannot be used. The message does
            not contain the URL, which may hold a password.
    """
    address = read_address(url)
    try:
        read = pika.URLParameters(address.url)
    except (ValueError, TypeError, IndexError):
        # The error behind it may name a part of a password.
        raise ConfigurationError(f"the broker URL is invalid: it must look like {FORM}") from None
    if address.tls is not None:
        read.ssl_options = tls.ssl_options(address.tls)
    read.client_properties = {"connection_name": name}
    if read.heartbeat is None:
        read.heartbeat = HEARTBEAT_S
    return read
