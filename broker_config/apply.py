"""Put the topology on a broker."""

import amqp.exceptions
from kombu.exceptions import OperationalError

from broker_config import topology
from broker_config.connecting import connect
from straightline.errors import BrokerUnavailable, ConfigurationError


def apply(url: str, *, attempts: int = 20) -> None:
    """Declare every exchange, queue and binding on the broker at `url`; declaring again changes nothing.

    Raises:
        BrokerUnavailable: nobody answers there.
        ConfigurationError: something of the name exists already with other arguments, or a right is missing.
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
            f"the broker refused the topology: {error}; delete what has the same name, or give the user "
            "the right"
        ) from error
    except (OperationalError, OSError, amqp.exceptions.AMQPError) as error:
        raise BrokerUnavailable(
            f"the broker does not answer: {error}; is it started, and is the URL right?"
        ) from error
