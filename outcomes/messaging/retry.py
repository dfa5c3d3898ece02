"""Retries a step through an outage while its messages stay unacknowledged.

Returning them would count against the queue's delivery limit.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeVar

from outcomes.db.errors import LedgerNotMigrated, LedgerUnavailable
from outcomes.messaging.delivery import Delivery
from straightline.amqp.connection.connection import RECONNECT_BACKOFF
from straightline.errors import BrokerUnavailable, Rejected, Unroutable
from straightline.support.event_log import EventLogger

logger = EventLogger(__name__)

OUTAGES: Final = (LedgerUnavailable, LedgerNotMigrated, BrokerUnavailable, Rejected, Unroutable)
"""Errors that a retry may not meet."""

T = TypeVar("T")


class Source(Protocol):
    """Origin of the messages: `outcomes.messaging.batch_consumer.BatchConsumer`."""

    def is_current(self, epoch: int) -> bool:
        """Tell whether connection number `epoch` is still open."""
        ...


class Abandoned(Exception):  # noqa: N818 - no fault, a decision
    """The batch is not finished: the process stops, or the broker will redeliver it."""


def retry_until_done(
    batch: Sequence[Delivery], step: Callable[[], T], *, source: Source, stopping: threading.Event
) -> T:
    """Run a step for a batch of messages, with backoff and jitter, until it succeeds.

    Raises:
        Abandoned: `stopping` is set, or the connection that brought the batch is lost.
    """
    failures = 0
    while True:
        try:
            result = step()
        except OUTAGES as error:
            failures += 1
            level = logging.WARNING if failures == 1 else logging.DEBUG
            logger.log(level, "batch_held", messages=len(batch), error=error)
        else:
            if failures:
                logger.warning("batch_resumed", failures=failures)
            return result
        stopping.wait(RECONNECT_BACKOFF.delay(failures))
        if stopping.is_set() or not source.is_current(batch[0].epoch):
            raise Abandoned
