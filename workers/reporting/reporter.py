"""Reporting of results to the ledger, the scheduler and the producers."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final

from straightline.amqp.publishing.outgoing import Outgoing
from straightline.errors import BrokerUnavailable, Rejected, StraightLineError, Unroutable
from straightline.support.event_log import EventLogger
from workers.domain.outcomes import PoolIdentity
from workers.domain.placements import Work
from workers.domain.result import CallTiming, Results, cancelled
from workers.reporting.messages import Sender, feedback_of, result_messages

RETRY_DELAYS_S: Final[tuple[float, ...]] = (0.2, 1.0, 5.0, 10.0)
"""Delays between tries while the broker refuses a message: its queue is full or missing."""
CONFIRM_TIMEOUT_S: Final = 86_400.0
"""For the publisher. A broker that blocks its publishers has received the messages and confirms them later: a
placement that was requeued meanwhile would be executed again and again."""
SHUTDOWN_CONFIRM_TIMEOUT_S: Final = 10.0
"""Wait for outstanding confirms when the pool stops."""
CONFIRM_POLL_INTERVAL_S: Final = 0.5
"""How often a wait for a confirm checks whether the pool stops."""

logger = EventLogger(__name__)


class ReportNotConfirmed(StraightLineError):  # noqa: N818
    """The broker did not confirm a placement's results, so the placement must be requeued."""


class Reporter:
    """Publishes results, and returns when the broker has confirmed all of them.

    Args:
        sender: confirmed publishing.
        pool: named in the messages.
        stopping: set when the pool stops; ends the waits between tries.
        clock: seconds since the epoch.
    """

    def __init__(
        self, sender: Sender, pool: PoolIdentity, stopping: threading.Event, clock: Callable[[], float]
    ) -> None:
        self._sender = sender
        self._pool = pool
        self._clock = clock
        self._stopping = stopping
        self._cancelled: dict[str, list[Future[None]]] = {}  # by request id: confirms of its early outcome

    def report(self, results: Results) -> None:
        """Publish outcomes, failed attempts and replies; then, without a confirm, the free slots.

        Raises:
            ReportNotConfirmed: a message was not confirmed.
        """
        unreported = [pair for pair in results if not self._reported_early(pair[0])]
        self._deliver([*result_messages(unreported, self._pool, self._clock())])
        self._sender.publish(feedback_of(results, self._pool))

    def report_cancelled(self, work: Work, started_at: float) -> None:
        """Publish the outcome of a request that is cancelled while it runs; `report` awaits the confirm."""
        result = cancelled(CallTiming(started=started_at, finished=max(started_at, self._clock())))
        sent = [
            (message, self._sender.publish(message))
            for message in result_messages([(work, result)], self._pool, self._clock())
        ]
        self._cancelled[work.request.id] = [future for message, future in sent if message.mandatory]

    def _reported_early(self, work: Work) -> bool:
        """Return whether `report_cancelled` has published a request's outcome and it is confirmed."""
        futures = self._cancelled.pop(work.request.id, None)
        if futures is None:
            return False
        try:
            for future in futures:
                self._await_confirm(future)
        except StraightLineError:
            return False
        return True

    def _deliver(self, messages: Sequence[Outgoing]) -> None:
        waiting = messages
        for delay in (*RETRY_DELAYS_S, None):
            refused, problem = self._publish(waiting)
            if not refused:
                return
            if delay is None or self._stopping.wait(delay):
                raise ReportNotConfirmed(f"the broker refuses results: {problem}") from problem
            waiting = refused

    def _publish(self, messages: Sequence[Outgoing]) -> tuple[list[Outgoing], Exception | None]:
        """Publish, and return the messages that the broker refused, with the last error."""
        futures = [self._sender.publish(message) for message in messages]
        refused: list[Outgoing] = []
        problem: Exception | None = None
        for message, future in zip(messages, futures, strict=True):
            try:
                self._await_confirm(future)
            except (Rejected, Unroutable) as error:
                if not message.mandatory:  # a reply; its outcome is in the ledger
                    logger.warning("reply_not_delivered", request_id=message.message_id, error=error)
                    continue
                refused.append(message)
                problem = error
            except BrokerUnavailable as error:
                raise ReportNotConfirmed(f"the broker did not confirm: {error}") from error
        return refused, problem

    def _await_confirm(self, future: Future[None]) -> None:
        """Wait for the broker's answer, without limit unless the pool stops."""
        stopped_at = None
        while True:
            try:
                return future.result(CONFIRM_POLL_INTERVAL_S)
            except TimeoutError:
                if not self._stopping.is_set():
                    continue
                stopped_at = stopped_at or time.monotonic()
                if time.monotonic() - stopped_at > SHUTDOWN_CONFIRM_TIMEOUT_S:
                    raise ReportNotConfirmed("the pool stops before the broker confirmed") from None
