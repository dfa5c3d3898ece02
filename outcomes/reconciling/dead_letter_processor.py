"""The undertaker: every dead letter's requests get their outcome, and it is noted for people."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

import msgspec

from outcomes.messaging.batch_consumer import BatchConsumer
from outcomes.messaging.messages import outcome_batches, slots_freed
from outcomes.messaging.retry import Abandoned, retry_until_done
from outcomes.messaging.sending import Outbox, send
from outcomes.reconciling.dead_letter_table import DeadLetterTable, Disposition, dead_letter_row
from outcomes.resolutions.dead_letter_parser import DeadLetterActions, DeadLetterCause, analyze, cause_of
from outcomes.resolutions.synthetic_outcomes import DELIVERY_LIMIT
from outcomes.rows.decoding import Delivery
from straightline.amqp.connection.connection import MAX_RECONNECT_DELAY_S
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts import Outcome, ReplyAddress
from straightline.messages import what_stands_message

logger = logging.getLogger(__name__)

PREFETCH: Final = 4
"""Dead letters held at once: each may be of 32 MiB."""

T = TypeVar("T")


class DeadLetterJob(msgspec.Struct, frozen=True):
    """A dead letter on the table."""

    delivery: Delivery
    death: DeadLetterCause
    finding: DeadLetterActions


class DeadLetterProcessor:
    """Takes dead letters and acknowledges each once its requests' outcomes are on their way and it is noted.

    In an outage it holds what it has. A dead letter that it cannot make sense of, whatever the reason, is
    noted as such: there is nowhere else for it to go.

    Args:
        intake: of the dead-letter queue.
        letters: where they are noted.
        outbox: for outcomes and answers.
    """

    def __init__(self, intake: BatchConsumer, letters: DeadLetterTable, outbox: Outbox) -> None:
        self._intake = intake
        self._letters = letters
        self._outbox = outbox
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Make `run` return after the run it is at; from any thread."""
        self._stopping.set()
        self._intake.wake()

    def run(self) -> None:
        """Work until `stop`."""
        while run := self._intake.take(gather=0.0):
            try:
                self._bury(run)
            except Abandoned:
                logger.info("%d dead letters are left to be delivered again", len(run))
            except Exception:
                logger.exception("%d dead letters met an unexpected fault and are given back", len(run))
                self._intake.give_back()
                self._stopping.wait(MAX_RECONNECT_DELAY_S)

    def _bury(self, run: list[Delivery]) -> None:
        now = time.time()
        cases = [_open(delivery, now) for delivery in run]
        found = [outcome.request_id for case in cases for outcome, _ in case.finding.outcomes]
        standing = self._persist(run, lambda: self._letters.standing(found))
        self._persist(run, lambda: self._send(cases, standing, now))
        for case in cases:
            self._persist(run, lambda case=case: self._note(case, now))  # type: ignore[misc]
        counts = Counter((case.death.queue, case.death.reason) for case in cases)
        for (queue, reason), count in counts.items():
            logger.warning("%d dead letters of %s were seen to (%s)", count, queue, reason)
        self._intake.settle(run, [])

    def _send(self, cases: Sequence[DeadLetterJob], standing: set[str], now: float) -> None:
        ended = [
            pair for case in cases for pair in case.finding.outcomes if pair[0].request_id not in standing
        ]
        again = [message for case in cases for message in case.finding.again]
        send(self._outbox, [*again, *outcome_batches([outcome for outcome, _ in ended]), *_told(ended, now)])

    def _note(self, case: DeadLetterJob, now: float) -> None:
        requests = [outcome.request_id for outcome, _ in case.finding.outcomes]
        resolution: Disposition = "kept"
        if case.finding.again:
            resolution = "sent_again"
        elif requests:
            resolution = "resolved"
        self._letters.note(dead_letter_row(case.delivery, case.death, resolution, requests, now))

    def _persist(self, run: list[Delivery], step: Callable[[], T]) -> T:
        return retry_until_done(run, step, intake=self._intake, stopping=self._stopping)


def _open(delivery: Delivery, now: float) -> DeadLetterJob:
    try:
        death = cause_of(delivery.properties.headers)
        return DeadLetterJob(delivery, death, analyze(delivery, death, now))
    except Exception as error:
        # A fault of ours, met by whatever stands in a dead letter, must not bring it back to meet it again.
        logger.exception("a dead letter of %d bytes cannot be examined", len(delivery.body))
        return DeadLetterJob(
            delivery,
            DeadLetterCause(None, "unknown", f"{type(error).__name__} in its examination"),
            DeadLetterActions(),
        )


def _told(ended: Iterable[tuple[Outcome, ReplyAddress | None]], now: float) -> Iterable[Outgoing]:
    """Have producers told what stands, and tell the scheduler of slots that it may still count as taken."""
    for outcome, reply in ended:
        if reply is not None:
            yield what_stands_message(outcome.request_id, outcome.digest or "", reply, now)
        if outcome.backend is not None and outcome.error_class == DELIVERY_LIMIT:
            yield slots_freed(outcome.backend, [outcome.request_id])
