"""AMQP by pika, on threads of its own: confirmed publishing and pushed results that outlive a connection."""

from straightline.amqp.publishing.outgoing import Outgoing
from straightline.amqp.publishing.publisher import Publisher

__all__ = ["Outgoing", "Publisher"]
