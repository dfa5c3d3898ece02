"""Import of definitions through RabbitMQ's management API."""

import base64
import json
import ssl
import urllib.error
import urllib.request
from typing import Final
from urllib.parse import unquote, urlsplit

from broker_config.definitions import Definitions
from straightline.amqp.connection.address import read_address
from straightline.errors import BrokerUnavailable, ConfigurationError
from straightline.support.no_redirect import open_url

REQUEST_TIMEOUT_S: Final = 30.0


def upload(management_url: str, broker_url: str, definitions: Definitions) -> None:
    """Import definitions as the administrator in `broker_url`.

    Args:
        management_url: `http://host:15672` or `https://...`, without credentials.
        broker_url: AMQP URL; only its user and password are used.
        definitions: the document to import.

    Raises:
        ConfigurationError: a URL is unusable, or the user is not an administrator.
        BrokerUnavailable: the API does not answer, or returns an error.
    """
    if urlsplit(management_url).scheme not in ("http", "https") or "@" in management_url:
        raise ConfigurationError(
            "STRAIGHTLINE_BROKER_MANAGEMENT_URL must look like http://host:15672, without a user or password"
        )
    address = read_address(broker_url)
    user = urlsplit(address.url)
    credentials = f"{unquote(user.username or '')}:{unquote(user.password or '')}".encode()
    request = urllib.request.Request(  # noqa: S310 - the scheme was checked above
        f"{management_url.rstrip('/')}/api/definitions",
        data=json.dumps(definitions).encode(),
        headers={
            "Authorization": f"Basic {base64.b64encode(credentials).decode('ascii')}",
            "Content-Type": "application/json",
        },
        method="POST",
    )
    # The CA of the broker's certificate is trusted for that of its management, too.
    trusted = ssl.create_default_context(cafile=address.tls.cacertfile if address.tls else None)
    try:
        # No redirect: the request carries the administrator's password.
        open_url(request, REQUEST_TIMEOUT_S, context=trusted).close()
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            raise ConfigurationError(
                "cannot create users: the management API refused the user of STRAIGHTLINE_BROKER_URL. "
                "give it the tag administrator"
            ) from error
        raise BrokerUnavailable(
            f"cannot create users: the management API returned {error.code}. see the broker's log"
        ) from error
    except (OSError, ValueError) as error:
        raise BrokerUnavailable(
            f"cannot reach the management API: {error}. start it, or correct "
            "STRAIGHTLINE_BROKER_MANAGEMENT_URL"
        ) from error
