"""Declaration of the topology on a broker."""

import amqp.exceptions
from kombu.exceptions import OperationalError

from broker_config import topology
from broker_config.connection import connect
from straightline.errors import BrokerUnavailable, ConfigurationError


def apply(url: str, *, attempts: int = 20) -> None:
    """Declare all exchanges, queues and bindings on the broker at `url`; idempotent.

    Raises:
        BrokerUnavailable: the broker does not answer.
        ConfigurationError: an object of that name exists with other arguments, or a permission is missing.
    """
    try:
        with connect(url) as connection:
            connection.ensure_connection(
                max_retries=attempts, interval_start=0.2, interval_step=0.2, interval_max=1
            )
            channel = connection.channel()
            for exchange in topology.EXCHANGES:
                exchange(channel).declare()
            for queue in topology.QUEUES:
                queue(channel).declare()
            for queue_name, exchange_name, key in topology.BINDINGS:
                channel.queue_bind(queue_name, exchange=exchange_name, routing_key=key)
    except (amqp.exceptions.PreconditionFailed, amqp.exceptions.AccessRefused) as error:
        raise ConfigurationError(
            f"cannot declare the topology: {error}. delete the object with that name, or grant the user the "
            "permission"
        ) from error
    except (OperationalError, OSError, amqp.exceptions.AMQPError) as error:
        raise BrokerUnavailable(
            f"cannot reach the broker: {error}. start it, or correct STRAIGHTLINE_BROKER_URL"
        ) from error
