"""Publishes messages and waits for the broker's confirms."""

from collections.abc import Iterable
from concurrent.futures import Future
from typing import Protocol

from straightline.amqp.publishing.outgoing import Outgoing
from straightline.errors import BrokerUnavailable, StraightLineError
from straightline.support.event_log import EventLogger

logger = EventLogger(__name__)


class Outbox(Protocol):
    """The part of `straightline.amqp.publishing.publisher.Publisher` that is used here."""

    def publish(self, message: Outgoing) -> Future[None]:
        """Publish a message; the future completes once the broker confirms it."""
        ...


def send(outbox: Outbox, messages: Iterable[Outgoing]) -> None:
    """Publish all messages and wait for the confirms. A refused optional message is only logged.

    Raises:
        BrokerUnavailable: the broker did not confirm in time.
        Rejected, Unroutable: the broker refused a mandatory message.
    """
    for message, confirmed in [(message, outbox.publish(message)) for message in messages]:
        try:
            confirmed.result()
        except BrokerUnavailable:
            raise
        except StraightLineError as error:
            if message.mandatory:
                raise
            logger.warning("reply_not_delivered", request_id=message.message_id, error=error)
