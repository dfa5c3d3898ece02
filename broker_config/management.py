"""RabbitMQ's management API, as far as we need it: handing it definitions."""

import base64
import json
import ssl
import urllib.error
import urllib.request
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from broker_config.definitions import Definitions
from straightline.amqp.connection.address import read_address
from straightline.errors import BrokerUnavailable, ConfigurationError

TIMEOUT: Final = 30.0


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Does not follow: the request carries the administrator's password."""

    def redirect_request(self, *_: Any) -> None:
        return None


def upload(management_url: str, broker_url: str, definitions: Definitions) -> None:
    """Import definitions as the administrator whom `broker_url` names.

    Args:
        management_url: `http://host:15672` or `https://...`, without credentials.
        broker_url: AMQP URL; only its user and password are used.
        definitions: the document.

    Raises:
        ConfigurationError: a URL cannot be used, or the user is no administrator.
        BrokerUnavailable: the API does not answer, or not as it should.
    """
    if urlsplit(management_url).scheme not in ("http", "https") or "@" in management_url:
        raise ConfigurationError(
            "STRAIGHTLINE_BROKER_MANAGEMENT_URL must look like http://host:15672, without a user or password"
        )
    address = read_address(broker_url)
    user = urlsplit(address.url)
    word = f"{unquote(user.username or '')}:{unquote(user.password or '')}".encode()
    request = urllib.request.Request(  # noqa: S310 - the scheme was checked above
        f"{management_url.rstrip('/')}/api/definitions",
        data=json.dumps(definitions).encode(),
        headers={
            "Authorization": f"Basic {base64.b64encode(word).decode('ascii')}",
            "Content-Type": "application/json",
        },
        method="POST",
    )
    # Whom the broker's certificate is trusted for, is trusted for its management's.
    trusted = ssl.create_default_context(cafile=address.tls.cacertfile if address.tls else None)
    opener = urllib.request.build_opener(_NoRedirect, urllib.request.HTTPSHandler(context=trusted))
    try:
        opener.open(request, timeout=TIMEOUT).close()
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            raise ConfigurationError(
                "the broker's management refused the user of STRAIGHTLINE_BROKER_URL: "
                "it must be an administrator"
            ) from error
        raise BrokerUnavailable(f"the broker's management answers {error.code}: look at its log") from error
    except (OSError, ValueError) as error:
        raise BrokerUnavailable(
            f"the broker's management does not answer: {error}; is STRAIGHTLINE_BROKER_MANAGEMENT_URL right?"
        ) from error
