"""The dead-letter loop: gives every request in a dead letter its outcome, and records the dead letter."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

import msgspec

from outcomes.messaging.batch_consumer import BatchConsumer
from outcomes.messaging.delivery import Delivery
from outcomes.messaging.messages import outcome_batches, slots_freed
from outcomes.messaging.retry import Abandoned, retry_until_done
from outcomes.messaging.sending import Outbox, send
from outcomes.reconciling.dead_letter_table import DeadLetterTable, Disposition, dead_letter_row
from outcomes.resolutions.dead_letter_cause import DeadLetterCause, cause_of
from outcomes.resolutions.dead_letter_parser import DeadLetterActions, Resolved, analyze
from outcomes.resolutions.synthetic_outcomes import DELIVERY_LIMIT
from straightline.amqp.connection.connection import MAX_RECONNECT_DELAY_S
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.messages.ledger import outcome_query_message
from straightline.support.event_log import EventLogger

logger = EventLogger(__name__)

PREFETCH: Final = 4
"""Dead letters held at once; each may have 32 MiB."""

T = TypeVar("T")


class DeadLetterJob(msgspec.Struct, frozen=True):
    """A dead letter, its cause, and what to do about it."""

    delivery: Delivery
    cause: DeadLetterCause
    actions: DeadLetterActions


class DeadLetterProcessor:
    """Acknowledges a dead letter once its requests' outcomes are published and its row is committed.

    In an outage it holds what it has. A dead letter that cannot be interpreted is recorded as such: it has
    nowhere else to go.

    Args:
        consumer: of the dead-letter queue.
        table: records dead letters.
        outbox: publishes outcomes and answers.
    """

    def __init__(self, consumer: BatchConsumer, table: DeadLetterTable, outbox: Outbox) -> None:
        self._consumer = consumer
        self._table = table
        self._outbox = outbox
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Make `run` return after the current batch. Thread-safe."""
        self._stopping.set()
        self._consumer.wake()

    def run(self) -> None:
        """Process dead letters until `stop`."""
        while batch := self._consumer.take(gather=0.0):
            try:
                self._process(batch)
            except Abandoned:
                logger.info("batch_abandoned", messages=len(batch))
            except Exception:
                logger.exception("batch_requeued", messages=len(batch))
                self._consumer.requeue()
                self._stopping.wait(MAX_RECONNECT_DELAY_S)

    def _process(self, batch: list[Delivery]) -> None:
        now = time.time()
        jobs = [_analyzed(delivery, now) for delivery in batch]
        ids = [outcome.request_id for job in jobs for outcome, _ in job.actions.outcomes]
        finished = self._retry(batch, lambda: self._table.finished_ids(ids))
        self._retry(batch, lambda: self._send(jobs, finished, now))
        for job in jobs:
            self._retry(batch, lambda job=job: self._record(job, now))  # type: ignore[misc]
        counts = Counter((job.cause.queue, job.cause.reason) for job in jobs)
        for (queue, reason), count in counts.items():
            logger.warning("dead_letters_processed", messages=count, queue=queue, reason=reason)
        self._consumer.settle(batch, [])

    def _send(self, jobs: Sequence[DeadLetterJob], finished: set[str], now: float) -> None:
        resolved = [
            pair for job in jobs for pair in job.actions.outcomes if pair[0].request_id not in finished
        ]
        resend = [message for job in jobs for message in job.actions.resend]
        outcomes = outcome_batches([outcome for outcome, _ in resolved])
        send(self._outbox, [*resend, *outcomes, *_follow_ups(resolved, now)])

    def _record(self, job: DeadLetterJob, now: float) -> None:
        requests = [outcome.request_id for outcome, _ in job.actions.outcomes]
        disposition: Disposition = "kept"
        if job.actions.resend:
            disposition = "sent_again"
        elif requests:
            disposition = "resolved"
        self._table.record(dead_letter_row(job.delivery, job.cause, disposition, requests, now))

    def _retry(self, batch: list[Delivery], step: Callable[[], T]) -> T:
        return retry_until_done(batch, step, source=self._consumer, stopping=self._stopping)


def _analyzed(delivery: Delivery, now: float) -> DeadLetterJob:
    try:
        cause = cause_of(delivery.properties.headers)
        return DeadLetterJob(delivery, cause, analyze(delivery, cause, now))
    except Exception as error:
        # A bug that this message triggers must not bring it back to trigger it again.
        logger.exception("dead_letter_not_analyzed", size_bytes=len(delivery.body))
        cause = DeadLetterCause(None, "unknown", f"{type(error).__name__} during analysis")
        return DeadLetterJob(delivery, cause, DeadLetterActions())


def _follow_ups(resolved: Iterable[Resolved], now: float) -> Iterable[Outgoing]:
    """Ask the recorder to answer producers, and free slots that the scheduler may still count as taken."""
    for outcome, reply in resolved:
        if reply is not None:
            yield outcome_query_message(outcome.request_id, outcome.digest or "", reply, now)
        if outcome.backend is not None and outcome.error_class == DELIVERY_LIMIT:
            yield slots_freed(outcome.backend, [outcome.request_id])
