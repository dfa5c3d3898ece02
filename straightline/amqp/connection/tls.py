"""TLS for pika's connections."""

import ssl
from typing import Final

import pika

from straightline.amqp.connection.address import Tls
from straightline.errors import ConfigurationError

_MIN_VERSION: Final = ssl.TLSVersion.TLSv1_2


def ssl_options(tls: Tls) -> pika.SSLOptions:
    """Return pika's TLS options; reads the certificate files.

    Raises:
        ConfigurationError: a file cannot be read, or is not a certificate or key.
    """
    try:
        context = ssl.create_default_context(cafile=tls.cacertfile)
        context.minimum_version = _MIN_VERSION
        if tls.certfile is not None:
            context.load_cert_chain(tls.certfile, tls.keyfile)
    except OSError as error:  # ssl's own errors are among them
        named = [file for file in (tls.cacertfile, tls.certfile, tls.keyfile) if file is not None]
        raise ConfigurationError(
            f"the broker's certificate files ({', '.join(named)}) cannot be read: {error}"
        ) from error
    return pika.SSLOptions(context, server_hostname=tls.host)


def describe_error(error: ssl.SSLError) -> str:
    """Return in one line why a TLS connection failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the broker's certificate is not trusted: {error.verify_message}. Check that it is for the "
            "host in the URL and that cacertfile= names the authority that signed it"
        )
    return f"TLS with the broker failed: {error.reason or error}. Check that the URL has its TLS port"
