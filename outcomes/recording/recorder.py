"""The recorder loop: writes outcomes from the queue to the ledger, then acknowledges them."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from outcomes.db.bisect_write import write_with_bisection
from outcomes.db.errors import LedgerRefused
from outcomes.messaging import messages
from outcomes.messaging.batch_consumer import BatchConsumer
from outcomes.messaging.delivery import Delivery, PoisonItem
from outcomes.messaging.retry import Abandoned, retry_until_done
from outcomes.messaging.sending import Outbox, send
from outcomes.recording.ledger import Ledger, Written
from outcomes.rows.decoding import (
    DecodedBatch,
    decode_deliveries,
    poison_lease,
    poison_outcome,
    poison_recall,
)
from straightline.amqp.connection.connection import MAX_RECONNECT_DELAY_S
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts import Recall
from straightline.support import failpoints
from straightline.support.event_log import EventLogger

logger = EventLogger(__name__)

MAX_LOGGED_REASONS: Final = 5
"""Distinct reasons of one batch that are logged."""

T = TypeVar("T")


class Recorder:
    """Writes each batch of messages in one transaction, then answers, then acknowledges.

    During a Postgres outage it holds its messages and retries with backoff. It never acknowledges what is not
    committed, and never returns what it may still commit: each return counts against the queue's delivery
    limit.

    Args:
        consumer: of the outcomes queue.
        ledger: writes outcomes.
        outbox: publishes answers and poison items.
        gather: seconds to wait for more messages after the first of a batch.
    """

    def __init__(self, consumer: BatchConsumer, ledger: Ledger, outbox: Outbox, *, gather: float) -> None:
        self._consumer = consumer
        self._ledger = ledger
        self._outbox = outbox
        self._gather = gather
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Make `run` return after the current batch. Thread-safe."""
        self._stopping.set()
        self._consumer.wake()

    def run(self) -> None:
        """Record until `stop`."""
        while batch := self._consumer.take(gather=self._gather):
            try:
                self._record(batch)
            except Abandoned:
                logger.info("batch_abandoned", messages=len(batch))
            except Exception:
                # A bug. If a message triggers it, the queue's delivery limit ends the loop.
                logger.exception("batch_requeued", messages=len(batch))
                self._consumer.requeue()
                self._stopping.wait(MAX_RECONNECT_DELAY_S)

    def _record(self, batch: list[Delivery]) -> None:
        decoded = decode_deliveries(batch, time.time())
        for reason, count in Counter(reason for _, reason in decoded.refused).most_common(MAX_LOGGED_REASONS):
            logger.error("messages_dead_lettered", messages=count, reason=reason)
        failpoints.hit(failpoints.Step.RECORDER_BEFORE_COMMIT)
        poison = [*decoded.poison, *self._retry(batch, lambda: self._write(decoded))]
        failpoints.hit(failpoints.Step.RECORDER_AFTER_COMMIT)
        if poison:
            self._retry(batch, lambda: self._dead_letter(poison))
        if decoded.recalls:
            self._retry(batch, lambda: self._answer(decoded.recalls))
        self._consumer.settle(batch, [delivery for delivery, _ in decoded.refused])

    def _write(self, decoded: DecodedBatch) -> list[PoisonItem]:
        if not decoded.entries and not decoded.recalls and not decoded.leases:
            return []
        try:
            _log_duplicates([self._ledger.write(decoded.entries, decoded.recalls, decoded.leases)])
        except LedgerRefused:
            return self._write_with_bisection(decoded)
        return []

    def _write_with_bisection(self, decoded: DecodedBatch) -> list[PoisonItem]:
        """Write one kind after the other, so that none is blamed for what is refused of another."""
        ledger = self._ledger
        done, entries = write_with_bisection(decoded.entries, ledger.write)
        _log_duplicates(done)
        _, recalls = write_with_bisection(decoded.recalls, lambda part: ledger.write((), part))
        _, leases = write_with_bisection(decoded.leases, lambda part: ledger.write((), (), part))
        return [
            *(poison_outcome(entry.source, reason) for entry, reason in entries),
            *(poison_recall(recall, reason) for recall, reason in recalls),
            *(poison_lease(lease, reason) for lease, reason in leases),
        ]

    def _dead_letter(self, poison: Sequence[PoisonItem]) -> None:
        # One fault may be in thousands of outcomes, as after a change of the contract.
        counts = Counter((item.type, item.reason) for item in poison)
        for (kind, reason), count in counts.most_common(MAX_LOGGED_REASONS):
            logger.error("items_dead_lettered", items=count, type=kind, reason=reason)
        send(self._outbox, map(messages.poison_letter, poison))

    def _answer(self, recalls: Sequence[Recall]) -> None:
        awaited = [recall for recall in recalls if recall.reply is not None]
        outcomes = self._ledger.read({recall.request_id for recall in awaited}) if awaited else {}
        delayed = [self._delayed(recall) for recall in awaited if recall.request_id not in outcomes]
        send(self._outbox, [*messages.answers(awaited, outcomes), *filter(None, delayed)])

    def _delayed(self, recall: Recall) -> Outgoing | None:
        message = messages.delayed_recall(recall, time.time())
        if message is None:
            logger.warning("repeated_request_has_no_outcome", request_id=recall.request_id)
        return message

    def _retry(self, batch: list[Delivery], step: Callable[[], T]) -> T:
        return retry_until_done(batch, step, source=self._consumer, stopping=self._stopping)


def _log_duplicates(done: Iterable[Written]) -> None:
    duplicates = sum(written.duplicates for written in done)
    if duplicates:
        logger.warning("duplicate_outcomes_recorded", outcomes=duplicates)
