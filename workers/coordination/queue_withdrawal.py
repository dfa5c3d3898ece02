"""Withdrawal of an unhealthy pool from its queue while other hosts' pools can take the work.

All pools of a backend consume one queue. A pool that has lost its model server fails each request at once: as
the fastest consumer it would take most of the work, and open the breaker for all pools.
"""

import threading
from collections.abc import Callable
from typing import Final

from straightline.support.event_log import EventLogger
from workers.coordination.peers import Peers
from workers.domain.result import Results
from workers.protocol.base import Health

CONSUMER_CANCEL_TIMEOUT_S: Final = 2.0
"""Time for the broker to confirm that this pool no longer consumes."""
NOT_REACHED: Final = "unreachable"
"""The fault of a request that never left this pool."""

logger = EventLogger(__name__)


class QueueWithdrawal:
    """Decides whether this pool consumes its queue. Thread-safe.

    Args:
        health: checks the backend now.
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
        self._withdrawn = False
        self._not_consuming = threading.Event()

    def update(self, health: Health) -> None:
        """Decide by the present health; called with each heartbeat."""
        withdrawn = not health.ok and self._peers.any_healthy()
        with self._lock:
            if withdrawn != self._withdrawn:
                self._withdrawn = withdrawn
                if withdrawn:
                    logger.warning("queue_withdrawn", reason=health.reason or "unhealthy")
                elif health.ok:
                    logger.warning("queue_resumed", reason="the backend is healthy")
                else:
                    logger.warning("queue_resumed", reason="no other pool is healthy")
        self._set_consuming(not withdrawn)

    def on_consuming_changed(self, consuming: bool) -> None:
        """Record what the broker has confirmed."""
        if consuming:
            self._not_consuming.clear()
        else:
            self._not_consuming.set()

    def should_requeue(self) -> bool:
        """Return whether a delivered placement is to be requeued without a call."""
        return self._withdrawn and self._not_consuming.is_set()

    def should_requeue_results(self, results: Results) -> bool:
        """Return whether to requeue a placement because none of its requests reached the backend.

        A requeued placement costs no attempt and trips no breaker that other hosts share.
        """
        if any(result.kind != "fault" or result.error_class != NOT_REACHED for _, result in results):
            return False
        if not self._peers.any_healthy():
            return False
        self.update(self._health())
        # While this pool still consumes, the broker would redeliver the placement to it.
        return self._withdrawn and self._not_consuming.wait(CONSUMER_CANCEL_TIMEOUT_S)
