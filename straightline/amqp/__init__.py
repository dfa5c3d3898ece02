"""AMQP over pika: connections that reconnect, confirmed publishing, consumers."""

from straightline.amqp.publishing.outgoing import Outgoing
from straightline.amqp.publishing.publisher import Publisher

__all__ = ["Outgoing", "Publisher"]
