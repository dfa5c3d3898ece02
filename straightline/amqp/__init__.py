"""AMQP by pika, on threads of its own: confirmed publishing and pushed results that outlive a connection."""

from straightline.amqp.outgoing import Outgoing
from straightline.amqp.publisher import Publisher

__all__ = ["Outgoing", "Publisher"]
