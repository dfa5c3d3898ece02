"""A pool whose backend cannot answer leaves the queue to the other hosts' pools, as long as there are any.

All pools of a backend consume one queue. One that has lost its model server fails at once what the others
would answer: being the quickest it would get most of the work, and open the breaker of them all.
"""

import logging
import threading
from collections.abc import Callable
from typing import Final

from workers.coordination.peers import Peers
from workers.execution.executor import Results
from workers.protocol.base import Health

CONSUMER_CANCEL_TIMEOUT_S: Final = 2.0
"""Seconds in which the broker has taken this pool off the queue."""
NOT_REACHED: Final = "unreachable"
"""The fault of a request that never left this pool."""

logger = logging.getLogger(__name__)


class QueueWithdrawal:
    """Whether this pool consumes its queue. Thread-safe.

    Args:
        health: of the backend, asked now.
        peers: the other pools.
        set_consuming: called with whether to consume the queue, with each heartbeat; must not block, and
            calls back `on_consuming_changed`.
    """

    def __init__(
        self, health: Callable[[], Health], peers: Peers, set_consuming: Callable[[bool], None]
    ) -> None:
        self._health = health
        self._peers = peers
        self._set_consuming = set_consuming
        self._lock = threading.Lock()
        self._away = False
        self._off_the_queue = threading.Event()

    def update(self, health: Health) -> None:
        """Decide anew; called with each heartbeat."""
        away = not health.ok and self._peers.any_healthy()
        with self._lock:
            if away != self._away:
                self._away = away
                if away:
                    logger.warning("this pool leaves its queue to others: %s", health.reason or "unhealthy")
                elif health.ok:
                    logger.warning("this pool can answer, and consumes its queue again")
                else:
                    logger.warning("no other pool can answer: this one consumes its queue again")
        self._set_consuming(not away)

    def on_consuming_changed(self, consuming: bool) -> None:
        """Take note of what the broker has been told."""
        if consuming:
            self._off_the_queue.clear()
        else:
            self._off_the_queue.set()

    def should_requeue(self) -> bool:
        """Whether a placement that has come is to go back to the queue, unasked."""
        return self._away and self._off_the_queue.is_set()

    def should_requeue_results(self, judged: Results) -> bool:
        """Whether a placement of which no request reached the backend is to go back to the queue.

        It costs no attempt, and says nothing of a backend that other hosts have, too.
        """
        if any(verdict.kind != "fault" or verdict.error_class != NOT_REACHED for _, verdict in judged):
            return False
        if not self._peers.any_healthy():
            return False
        self.update(self._health())
        # Not before: the broker would give it to this pool again.
        return self._away and self._off_the_queue.wait(CONSUMER_CANCEL_TIMEOUT_S)
