"""Telling everybody of a change, and who made it."""

import getpass
import socket
from typing import Final

from straightline.amqp.publishing.publisher import Publisher
from straightline.contracts.deployed import Deployed
from straightline.errors import BrokerUnavailable, StraightLineError
from straightline.messages.streams import deployed_message

CONFIRM_TIMEOUT_S: Final = 15.0


def announce(broker_url: str, deployed: Deployed) -> None:
    """Tell schedulers, pools and gateways what is deployed.

    Raises:
        BrokerUnavailable: the broker does not take it now; the change stands, and the reconciler tells it.
        ConfigurationError: the URL is none.
    """
    publisher = Publisher(broker_url, name="straightline-deploy", confirm_timeout=CONFIRM_TIMEOUT_S)
    try:
        publisher.publish(deployed_message(deployed)).result()
    except StraightLineError as error:
        raise BrokerUnavailable(
            f"the change is recorded, but could not be announced: {error}; the reconciler announces it when "
            "it reaches the broker"
        ) from error
    finally:
        publisher.close(timeout=2.0)


def current_operator() -> str:
    """Return the name that changes are recorded under: the user of this process and its host."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
