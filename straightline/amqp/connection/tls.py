"""TLS for pika's connections."""

import ssl
from typing import Final

import pika

from straightline.amqp.connection.address import Tls
from straightline.errors import ConfigurationError

_MIN_VERSION: Final = ssl.TLSVersion.TLSv1_2


def ssl_options(tls: Tls) -> pika.SSLOptions:
    """Return what pika wants; the files are read now.

    Raises:
        ConfigurationError: a file cannot be read, or is not what it should be.
    """
    try:
        context = ssl.create_default_context(cafile=tls.cacertfile)
        context.minimum_version = _MIN_VERSION
        if tls.certfile is not None:
            context.load_cert_chain(tls.certfile, tls.keyfile)
    except OSError as error:  # ssl's own errors are among them
        named = [file for file in (tls.cacertfile, tls.certfile, tls.keyfile) if file is not None]
        raise ConfigurationError(
            f"the certificates for the broker cannot be read from {', '.join(named)}: {error}"
        ) from error
    return pika.SSLOptions(context, server_hostname=tls.host)


def describe_error(error: ssl.SSLError) -> str:
    """Say in one line what is wrong with a connection over TLS."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"what answers at the broker's address is not trusted: {error.verify_message}; is its "
            "certificate for the host in the URL, and does cacertfile= name the authority that signed it?"
        )
    return f"there is no TLS with the broker: {error.reason or error}; is this its port for TLS?"
