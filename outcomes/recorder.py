"""The recorder: outcomes from the queue into the ledger, acknowledged once they are committed."""

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final, Protocol, TypeVar

import msgspec

from outcomes import replies
from outcomes.errors import LedgerNotMigrated, LedgerUnavailable
from outcomes.intake import Intake
from outcomes.isolate import write_all_but_refused
from outcomes.ledger import Ledger, Written
from outcomes.reading import Delivery, Poison, Reading, read
from outcomes.rows import Entry
from straightline import crash
from straightline.amqp.link import LONGEST_DELAY, delay
from straightline.amqp.outgoing import Outgoing
from straightline.contracts import Outcome, Recall
from straightline.errors import BrokerUnavailable, Rejected, StraightLineError, Unroutable

logger = logging.getLogger(__name__)

PATIENCE: Final = 1.0
"""Seconds that a repeated id waits for its outcome, where another recorder may be about to commit it."""
LOOK_AGAIN: Final = 0.1
MOST_LOGGED: Final = 5
"""Different faults of one run that are logged."""

T = TypeVar("T")


class Outbox(Protocol):
    """What the recorder needs of `straightline.amqp.publisher.Publisher`."""

    def publish(self, message: Outgoing) -> Future[None]:
        """Send a message; the future is done once the broker has it safe."""


class Abandoned(Exception):  # noqa: N818 - no fault, a decision
    """The run is not to be finished: the recorder stops, or the broker will deliver the run again."""


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

    def __init__(self, intake: Intake, ledger: Ledger, outbox: Outbox, *, gather: float) -> None:
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
                self._stopping.wait(LONGEST_DELAY)

    def _record(self, run: list[Delivery]) -> None:
        reading = read(run, time.time())
        for reason, count in Counter(reason for _, reason in reading.refused).most_common(MOST_LOGGED):
            logger.error("%d messages are dead-lettered: %s", count, reason)
        crash.here(crash.Step.RECORDER_BEFORE_COMMIT)
        poison = [*reading.poison, *self._persist(run, lambda: self._write(reading))]
        crash.here(crash.Step.RECORDER_AFTER_COMMIT)
        if poison:
            self._persist(run, lambda: self._bury(poison))
        if reading.recalls:
            self._persist(run, lambda: self._answer(reading.recalls))
        self._intake.settle(run, [delivery for delivery, _ in reading.refused])

    def _write(self, reading: Reading) -> list[Poison]:
        def write(part: Sequence[Entry]) -> Written:
            return self._ledger.write(part, reading.recalls, reading.leases)

        if not reading.entries and not reading.recalls and not reading.leases:
            return []
        done, refused = write_all_but_refused(reading.entries, write)
        surplus = sum(written.surplus for written in done)
        if surplus:
            logger.warning("%d outcomes came for requests that another execution had answered", surplus)
        return [Poison(msgspec.json.encode(entry.source), reason) for entry, reason in refused]

    def _bury(self, poison: Sequence[Poison]) -> None:
        # One fault may be in thousands of outcomes, as after a change of the contract.
        for reason, count in Counter(buried.reason for buried in poison).most_common(MOST_LOGGED):
            logger.error("%d outcomes are dead-lettered: %s", count, reason)
        for sent in [self._outbox.publish(replies.burial(buried)) for buried in poison]:
            sent.result()

    def _answer(self, recalls: Sequence[Recall]) -> None:
        asked = [recall for recall in recalls if recall.reply is not None]
        outcomes = self._standing({recall.request_id for recall in asked})
        for sent in [self._outbox.publish(message) for message in replies.answers(asked, outcomes)]:
            try:
                sent.result()
            except BrokerUnavailable:
                raise
            except StraightLineError as error:
                logger.warning("a repeated id was not answered: %s", error)

    def _standing(self, ids: set[str]) -> dict[str, Outcome]:
        until = time.monotonic() + PATIENCE
        found = self._ledger.read(ids) if ids else {}
        while ids - found.keys() and time.monotonic() < until and not self._stopping.wait(LOOK_AGAIN):
            found |= self._ledger.read(ids - found.keys())
        for request_id in ids - found.keys():
            logger.warning("request %s was repeated, but the ledger has no outcome of it", request_id)
        return found

    def _persist(self, run: list[Delivery], step: Callable[[], T]) -> T:
        failures = 0
        while True:
            try:
                result = step()
            except (LedgerUnavailable, LedgerNotMigrated, BrokerUnavailable, Rejected, Unroutable) as error:
                failures += 1
                level = logging.WARNING if failures == 1 else logging.DEBUG
                logger.log(level, "%d messages are held: %s", len(run), error)
            else:
                if failures:
                    logger.warning("recording goes on after %d failures", failures)
                return result
            self._stopping.wait(delay(failures, random.random()))  # noqa: S311 - jitter is no secret
            if self._stopping.is_set() or not self._intake.current(run[0].epoch):
                raise Abandoned
