"""Sending messages and waiting until the broker has them."""

import logging
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Protocol

from straightline.amqp.publishing.outgoing import Outgoing
from straightline.errors import BrokerUnavailable, StraightLineError

logger = logging.getLogger(__name__)


class Outbox(Protocol):
    """What is needed of `straightline.amqp.publishing.publisher.Publisher`."""

    def publish(self, message: Outgoing) -> Future[None]:
        """Send a message; the future is done once the broker has it safe."""
        ...


def send(outbox: Outbox, messages: Iterable[Outgoing]) -> None:
    """Send all, and return when the broker has them; one that nobody needs may be refused.

    Raises:
        BrokerUnavailable: the broker did not confirm in time.
        Rejected, Unroutable: it refused one that is needed.
    """
    for message, sent in [(message, outbox.publish(message)) for message in messages]:
        try:
            sent.result()
        except BrokerUnavailable:
            raise
        except StraightLineError as error:
            if message.mandatory:
                raise
            logger.warning("request %s was not answered: %s", message.message_id, error)
