"""A pool's name is its own: of two with one name, the scheduler would take each other's slots for one's."""

import time
from typing import Any, Final

from amqp.exceptions import AMQPError, NotFound, ResourceLocked
from kombu.exceptions import OperationalError

from straightline.errors import ConfigurationError

PREDECESSOR_TIMEOUT_S: Final = 5.0
"""Seconds that a predecessor's connection has to end."""
POLL_INTERVAL_S: Final = 0.25


def ensure_unique_node_name(app: Any, node: str) -> None:
    """Look whether another worker is connected under this name.

    Celery keeps a mailbox for each worker, here a queue that belongs to its connection alone: while it is
    there, and locked, so is its owner. Where the broker does not answer nothing is said: connecting to it is
    tried again later, by others.

    Raises:
        ConfigurationError: there is one, and it stays.
    """
    deadline = time.monotonic() + PREDECESSOR_TIMEOUT_S
    while _taken(app, f"{node}.celery.pidbox"):
        if time.monotonic() > deadline:
            raise ConfigurationError(
                f"another worker with the name {node} is connected: give this one a name of its own with -n"
            )
        time.sleep(POLL_INTERVAL_S)


def _taken(app: Any, mailbox: str) -> bool:
    try:
        with app.connection_for_read() as connection:
            connection.default_channel.queue_declare(mailbox, passive=True)
    except ResourceLocked:
        return True
    except (NotFound, AMQPError, OperationalError, OSError):
        return False
    return False
