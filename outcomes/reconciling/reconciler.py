"""The reconciler: what was placed and never heard of again is ended, and its producer told."""

import logging
import threading
import time
from datetime import UTC, datetime
from typing import Final, Protocol

from sqlalchemy import Connection, Engine, text

from outcomes.db.database import translated
from outcomes.messaging.retry import OUTAGES
from outcomes.messaging.sending import Outbox, send
from outcomes.queries.outcomes import outcomes_of
from outcomes.queries.submissions import purge_submissions
from outcomes.recording import placements
from outcomes.resolutions.lease_expiry import plan_sweep
from outcomes.schema.partitions import create_ahead
from straightline import names
from straightline.amqp.connection.connection import MAX_RECONNECT_DELAY_S, RECONNECT_BACKOFF
from straightline.errors import StraightLineError

logger = logging.getLogger(__name__)

LEASE_BATCH_SIZE: Final = 500
"""Placements looked at in one turn."""
RECORDER_BEHIND_MESSAGES: Final = 1_000
"""Messages that wait for the recorder, from which on what is missing may well be among them."""
RECORDER_HEAD_START_S: Final = 3 * MAX_RECONNECT_DELAY_S
"""Seconds after an outage of Postgres in which nothing is called missing: a recorder may hold the outcome,
and tries again later than we did. Another recorder would write ours before it."""
FIRST_RECHECK_S: Final = 2.0
MAX_RECHECK_S: Final = 3600.0
HOUSEKEEPING_INTERVAL_S: Final = 3600.0
"""Seconds between looks at whether the days to come have their partitions, and at what ended long ago."""
LEADER_LOCK_KEY: Final = 0x5354_4C52
"""Of Postgres's advisory locks: who holds it reconciles."""


class QueueDepths(Protocol):
    """What is asked of `outcomes.messaging.batch_consumer.BatchConsumer`."""

    def depth(self, queue: str) -> int | None:
        """Return how many messages wait in a queue; None where the broker does not say."""
        ...


class Reconciler:
    """One of any number works: the one whose connection to Postgres holds a lock, which ends with it.

    Args:
        engine: of the ledger, for two connections: all work but the making of partitions is done over the one
            that holds the lock.
        depths: says whether the recorder is behind.
        outbox: for outcomes and answers.
        interval: seconds between looks.
        look_again: seconds after which the ledger should have an outcome that was sent; twice as long each
            further time.
        recorders_first: seconds after an outage in which nothing is called missing.
    """

    def __init__(
        self,
        engine: Engine,
        depths: QueueDepths,
        outbox: Outbox,
        *,
        interval: float,
        look_again: float = FIRST_RECHECK_S,
        recorders_first: float = RECORDER_HEAD_START_S,
    ) -> None:
        self._engine = engine
        self._depths = depths
        self._outbox = outbox
        self._interval = interval
        self._look_again = look_again
        self._recorders_first = recorders_first
        self._patient_until = float("-inf")
        self._stopping = threading.Event()
        self._house_kept = float("-inf")
        self._failures = 0  # since it last worked

    def stop(self) -> None:
        """Make `run` return soon; from any thread."""
        self._stopping.set()

    def run(self) -> None:
        """Reconcile until `stop`."""
        while not self._stopping.is_set():
            try:
                with translated(), self._engine.connect() as connection:
                    self._serve(connection.execution_options(isolation_level="AUTOCOMMIT"))
            except OUTAGES as error:
                self._failures += 1
                level = logging.WARNING if self._failures == 1 else logging.DEBUG
                logger.log(level, "no reconciling now: %s", error)
            except Exception:
                self._failures += 1
                logger.exception("reconciling met an unexpected fault")
            self._engine.dispose()
            self._stopping.wait(RECONNECT_BACKOFF.delay(max(1, self._failures)))

    def _serve(self, connection: Connection) -> None:
        """Work while this connection lives."""
        if not self._wait_for_the_lead(connection):
            return
        if self._failures:
            self._patient_until = time.monotonic() + self._recorders_first
        logger.info("this reconciler is the one at work")
        while not self._stopping.is_set():
            self._keep_house(connection)
            more = self._turn(connection)
            self._failures = 0
            if not more:
                self._stopping.wait(self._interval)

    def _wait_for_the_lead(self, connection: Connection) -> bool:
        while not connection.execute(
            text("SELECT pg_try_advisory_lock(:key)"), {"key": LEADER_LOCK_KEY}
        ).scalar_one():
            if self._stopping.wait(self._interval):
                return False
        return True

    def _turn(self, connection: Connection) -> bool:
        """Look once; True where there may be more to do at once."""
        now = time.time()
        found = placements.expired_leases(connection, now, most=LEASE_BATCH_SIZE)
        if any(due.missing for due in found) and self._behind():
            return False
        standing = outcomes_of(connection, {name for due in found for name in due.lost or ()})
        todo = plan_sweep(found, standing, now)
        if todo.missing:
            logger.warning("%d requests were placed and have no outcome past their lease", todo.missing)
        send(self._outbox, todo.messages)
        placements.mark_settled(connection, todo.settled)
        placements.postpone(connection, todo.open, now, first=self._look_again, longest=MAX_RECHECK_S)
        return len(found) == LEASE_BATCH_SIZE

    def _behind(self) -> bool:
        if time.monotonic() < self._patient_until:
            logger.info("what is missing may be held by a recorder, which goes first after an outage")
            return True
        waiting = self._depths.depth(names.OUTCOMES_QUEUE)
        if waiting is None or waiting > RECORDER_BEHIND_MESSAGES:
            logger.info("the recorder is behind (%s messages): what is missing may be among them", waiting)
            return True
        return False

    def _keep_house(self, connection: Connection) -> None:
        if time.monotonic() - self._house_kept < HOUSEKEEPING_INTERVAL_S:
            return
        self._house_kept = time.monotonic()
        try:
            made = create_ahead(self._engine, datetime.now(UTC))
        except StraightLineError as error:
            logger.warning("partitions were not made, so rows go to the default ones: %s", error)
        else:
            logger.info("%d partitions were made ahead", made)
        try:
            purge_submissions(connection, datetime.now(UTC))
        except StraightLineError as error:
            logger.warning("what gateways noted long ago was not removed: %s", error)
