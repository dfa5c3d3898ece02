"""Holding messages unacknowledged through an outage: each return would count against the queue's limit."""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeVar

from outcomes.db.errors import LedgerNotMigrated, LedgerUnavailable
from outcomes.rows.decoding import Delivery
from straightline.amqp.connection.connection import RECONNECT_BACKOFF
from straightline.errors import BrokerUnavailable, Rejected, Unroutable

logger = logging.getLogger(__name__)

OUTAGES: Final = (LedgerUnavailable, LedgerNotMigrated, BrokerUnavailable, Rejected, Unroutable)
"""What may be over when it is tried again."""

T = TypeVar("T")


class Source(Protocol):
    """Where the messages came from: `outcomes.messaging.batch_consumer.BatchConsumer`."""

    def current(self, epoch: int) -> bool:
        """Tell whether the connection that `epoch` names is still the one."""
        ...


class Abandoned(Exception):  # noqa: N818 - no fault, a decision
    """The run is not to be finished: its process stops, or the broker will deliver the run again."""


def retry_until_done(
    run: Sequence[Delivery], step: Callable[[], T], *, intake: Source, stopping: threading.Event
) -> T:
    """Do a step for a run of messages, again and again, later and later, until it succeeds.

    Raises:
        Abandoned: `stopping` was set, or the connection that brought the run is gone.
    """
    failures = 0
    while True:
        try:
            result = step()
        except OUTAGES as error:
            failures += 1
            level = logging.WARNING if failures == 1 else logging.DEBUG
            logger.log(level, "%d messages are held: %s", len(run), error)
        else:
            if failures:
                logger.warning("work goes on after %d failures", failures)
            return result
        stopping.wait(RECONNECT_BACKOFF.delay(failures))
        if stopping.is_set() or not intake.current(run[0].epoch):
            raise Abandoned
