"""A check that no other connected worker has this node name, since the scheduler keeps slots by node name."""

import time
from typing import Any, Final

from amqp.exceptions import AMQPError, NotFound, ResourceLocked
from kombu.exceptions import OperationalError

from straightline.errors import ConfigurationError

PREDECESSOR_TIMEOUT_S: Final = 5.0
"""How long a stopped predecessor's connection may take to end."""
POLL_INTERVAL_S: Final = 0.25


def ensure_unique_node_name(app: Any, node: str) -> None:
    """Check that no other worker is connected under this name.

    Celery declares a mailbox queue for each worker, here exclusive to its connection: while it exists and is
    locked, its owner is connected. Passes if the broker does not answer; the worker's own connections are
    retried later.

    Raises:
        ConfigurationError: another worker has the name.
    """
    deadline = time.monotonic() + PREDECESSOR_TIMEOUT_S
    while _is_taken(app, f"{node}.celery.pidbox"):
        if time.monotonic() > deadline:
            raise ConfigurationError(
                f"cannot start: another worker with the name {node} is connected. choose another with -n"
            )
        time.sleep(POLL_INTERVAL_S)


def _is_taken(app: Any, mailbox: str) -> bool:
    try:
        with app.connection_for_read() as connection:
            connection.default_channel.queue_declare(mailbox, passive=True)
    except ResourceLocked:
        return True
    except (NotFound, AMQPError, OperationalError, OSError):
        return False
    return False
