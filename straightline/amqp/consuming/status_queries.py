"""Gateways' questions, heard in the queue in which signals are heard."""

import logging
from typing import Any, Final

from pika.exceptions import ChannelClosedByBroker

from straightline import names
from straightline.amqp.connection.connection import ManagedConnection, describe

logger = logging.getLogger(__name__)

RETRY_INTERVAL_S: Final = 30.0
"""Seconds until a broker that has no questions, or refuses them, is asked again."""


def bind_status_queries(link: ManagedConnection, connection: Any, queue: str, *, told: bool = False) -> None:
    """Have questions sent to a queue of this connection; where the broker refuses that, all else goes on."""

    def closed(_channel: Any, reason: BaseException) -> None:
        if not isinstance(reason, ChannelClosedByBroker):
            return
        if not told:
            why = describe(reason)
            logger.warning("no questions can be heard (%s): run `python -m broker_config`", why)
        link.call_later(RETRY_INTERVAL_S, lambda: bind_status_queries(link, connection, queue, told=True))

    def opened(channel: Any) -> None:
        channel.add_on_close_callback(closed)

        def bound(_frame: Any) -> None:
            if channel.is_open:  # and not closing with its connection
                channel.close()

        channel.queue_bind(queue, names.QUESTIONS, names.QUESTION_KEY, callback=bound)

    if connection.is_open:
        connection.channel(on_open_callback=opened)


def signal_key(method: Any) -> str:
    """Return what was heard: a question is one whatever its key, and else the routing key tells.

    RabbitMQ delivers by the keys in the headers `CC` and `BCC`, too: who asks may give a question any key.
    """
    key: str = names.QUESTION_KEY if method.exchange == names.QUESTIONS else method.routing_key
    return key
