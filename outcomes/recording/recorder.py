"""The recorder: outcomes from the queue into the ledger, acknowledged once they are committed."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from outcomes.db.bisect_write import write_with_bisection
from outcomes.db.errors import LedgerRefused
from outcomes.messaging import messages
from outcomes.messaging.batch_consumer import BatchConsumer
from outcomes.messaging.retry import Abandoned, retry_until_done
from outcomes.messaging.sending import Outbox, send
from outcomes.recording.ledger import Ledger, Written
from outcomes.rows.decoding import (
    DecodedBatch,
    Delivery,
    PoisonItem,
    decode_deliveries,
    poison_lease,
    poison_outcome,
    poison_recall,
)
from straightline.amqp.connection.connection import MAX_RECONNECT_DELAY_S
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts import Recall
from straightline.support import failpoints

logger = logging.getLogger(__name__)

MAX_LOGGED_REASONS: Final = 5
"""Different faults of one run that are logged."""

T = TypeVar("T")


class Recorder:
    """Takes runs of messages, writes each in one transaction, then answers, then acknowledges.

    In an outage of Postgres it holds what it has and tries again, later and later. It never acknowledges
    what is not committed, and never gives back what it may still commit: each return counts against the
    queue's delivery limit.

    Args:
        intake: where messages come from.
        ledger: where they go.
        outbox: for answers and for what can never be recorded.
        gather: seconds to wait for more messages after the first of a run.
    """

    def __init__(self, intake: BatchConsumer, ledger: Ledger, outbox: Outbox, *, gather: float) -> None:
        self._intake = intake
        self._ledger = ledger
        self._outbox = outbox
        self._gather = gather
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Make `run` return after the batch it is at; from any thread."""
        self._stopping.set()
        self._intake.wake()

    def run(self) -> None:
        """Record until `stop`."""
        while run := self._intake.take(gather=self._gather):
            try:
                self._record(run)
            except Abandoned:
                logger.info("a run of %d messages is left to be delivered again", len(run))
            except Exception:
                # A fault of ours. The queue's delivery limit ends it where a message is to blame.
                logger.exception("a run of %d messages met an unexpected fault and is given back", len(run))
                self._intake.give_back()
                self._stopping.wait(MAX_RECONNECT_DELAY_S)

    def _record(self, run: list[Delivery]) -> None:
        reading = decode_deliveries(run, time.time())
        for reason, count in Counter(reason for _, reason in reading.refused).most_common(MAX_LOGGED_REASONS):
            logger.error("%d messages are dead-lettered: %s", count, reason)
        failpoints.hit(failpoints.Step.RECORDER_BEFORE_COMMIT)
        poison = [*reading.poison, *self._persist(run, lambda: self._write(reading))]
        failpoints.hit(failpoints.Step.RECORDER_AFTER_COMMIT)
        if poison:
            self._persist(run, lambda: self._bury(poison))
        if reading.recalls:
            self._persist(run, lambda: self._answer(reading.recalls))
        self._intake.settle(run, [delivery for delivery, _ in reading.refused])

    def _write(self, reading: DecodedBatch) -> list[PoisonItem]:
        if not reading.entries and not reading.recalls and not reading.leases:
            return []
        try:
            _count([self._ledger.write(reading.entries, reading.recalls, reading.leases)])
        except LedgerRefused:
            return self._write_apart(reading)
        return []

    def _write_apart(self, reading: DecodedBatch) -> list[PoisonItem]:
        """Write one kind after the other, so that none is blamed for what is refused of another."""
        ledger = self._ledger
        done, entries = write_with_bisection(reading.entries, ledger.write)
        _count(done)
        _, recalls = write_with_bisection(reading.recalls, lambda part: ledger.write((), part))
        _, leases = write_with_bisection(reading.leases, lambda part: ledger.write((), (), part))
        return [
            *(poison_outcome(entry.source, reason) for entry, reason in entries),
            *(poison_recall(recall, reason) for recall, reason in recalls),
            *(poison_lease(lease, reason) for lease, reason in leases),
        ]

    def _bury(self, poison: Sequence[PoisonItem]) -> None:
        # One fault may be in thousands of outcomes, as after a change of the contract.
        counts = Counter((buried.type, buried.reason) for buried in poison)
        for (kind, reason), count in counts.most_common(MAX_LOGGED_REASONS):
            logger.error("%d of %s are dead-lettered: %s", count, kind, reason)
        send(self._outbox, map(messages.dead_letter, poison))

    def _answer(self, recalls: Sequence[Recall]) -> None:
        asked = [recall for recall in recalls if recall.reply is not None]
        outcomes = self._ledger.read({recall.request_id for recall in asked}) if asked else {}
        waiting = [self._again(recall) for recall in asked if recall.request_id not in outcomes]
        send(self._outbox, [*messages.answers(asked, outcomes), *filter(None, waiting)])

    def _again(self, recall: Recall) -> Outgoing | None:
        message = messages.delayed_recall(recall, time.time())
        if message is None:
            logger.warning("request %s was repeated, but the ledger has no outcome of it", recall.request_id)
        return message

    def _persist(self, run: list[Delivery], step: Callable[[], T]) -> T:
        return retry_until_done(run, step, intake=self._intake, stopping=self._stopping)


def _count(done: Iterable[Written]) -> None:
    duplicates = sum(written.duplicates for written in done)
    if duplicates:
        logger.warning("%d outcomes came for requests that another execution had answered", duplicates)
