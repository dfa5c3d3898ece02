"""Announcement of registry changes, and the user who makes them."""

import getpass
import socket
from typing import Final

from straightline.amqp.publishing.publisher import Publisher
from straightline.contracts.deployed import Deployed
from straightline.errors import BrokerUnavailable, StraightLineError
from straightline.messages.streams import deployed_message

CONFIRM_TIMEOUT_S: Final = 15.0
CLOSE_TIMEOUT_S: Final = 2.0


def announce(broker_url: str, deployed: Deployed) -> None:
    """Publish the deployed versions to schedulers, pools and gateways.

    Raises:
        BrokerUnavailable: the broker did not confirm. The reconciler announces the recorded change later.
        ConfigurationError: the URL is invalid.
    """
    publisher = Publisher(broker_url, name="straightline-deploy", confirm_timeout=CONFIRM_TIMEOUT_S)
    try:
        publisher.publish(deployed_message(deployed)).result()
    except StraightLineError as error:
        raise BrokerUnavailable(
            f"the change is recorded, but could not be announced: {error}. The reconciler announces it when "
            "it reaches the broker"
        ) from error
    finally:
        publisher.close(timeout=CLOSE_TIMEOUT_S)


def current_operator() -> str:
    """Return the user of this process and its host, under which changes are recorded."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
