"""The reconciler loop: expires lost requests, creates partitions, purges old submissions."""

import logging
import threading
import time
from datetime import UTC, datetime
from typing import Final, Protocol

from sqlalchemy import Connection, Engine, text

from outcomes.db.translation import translated
from outcomes.messaging.retry import OUTAGES
from outcomes.messaging.sending import Outbox, send
from outcomes.queries.outcomes import outcomes_of
from outcomes.queries.submissions import purge_submissions
from outcomes.reconciling import lease_table
from outcomes.resolutions.lease_expiry import plan_sweep
from outcomes.schema.partitions import create_ahead
from straightline import names
from straightline.amqp.connection.connection import MAX_RECONNECT_DELAY_S, RECONNECT_BACKOFF
from straightline.errors import StraightLineError
from straightline.support.event_log import EventLogger

logger = EventLogger(__name__)

LEASE_BATCH_SIZE: Final = 500
RECORDER_BEHIND_MESSAGES: Final = 1_000
"""Messages waiting for the recorder above which a missing outcome may be among them."""
RECORDER_HEAD_START_S: Final = 3 * MAX_RECONNECT_DELAY_S
"""Seconds after a Postgres outage in which no request counts as missing: a recorder may hold its outcome and
retry later than the reconciler does, and the first outcome written wins."""
FIRST_RECHECK_S: Final = 2.0
MAX_RECHECK_S: Final = 3600.0
HOUSEKEEPING_INTERVAL_S: Final = 3600.0
LEADER_LOCK_KEY: Final = 0x5354_4C52
"""Postgres advisory lock: its holder is the active reconciler."""


class QueueDepths(Protocol):
    """The part of `outcomes.messaging.batch_consumer.BatchConsumer` that the reconciler uses."""

    def depth(self, queue: str) -> int | None:
        """Return the number of messages ready in a queue; None if the broker does not answer."""
        ...


class Reconciler:
    """Reconciles while its Postgres connection holds an advisory lock; other instances stand by.

    The lock ends with the connection, so a standby takes over within `interval`.

    Args:
        engine: needs two connections: one holds the lock and does all work but creating partitions.
        depths: tells whether the recorder is behind.
        outbox: publishes outcomes and answers.
        interval: seconds between sweeps.
        first_recheck: seconds until the ledger should hold an outcome that was published; doubles each time.
        recorder_head_start: seconds after an outage in which no request counts as missing.
    """

    def __init__(
        self,
        engine: Engine,
        depths: QueueDepths,
        outbox: Outbox,
        *,
        interval: float,
        first_recheck: float = FIRST_RECHECK_S,
        recorder_head_start: float = RECORDER_HEAD_START_S,
    ) -> None:
        self._engine = engine
        self._depths = depths
        self._outbox = outbox
        self._interval = interval
        self._first_recheck = first_recheck
        self._recorder_head_start = recorder_head_start
        self._head_start_until = float("-inf")
        self._stopping = threading.Event()
        self._housekeeping_at = float("-inf")
        self._failures = 0  # since the last successful turn

    def stop(self) -> None:
        """Make `run` return soon. Thread-safe."""
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
                logger.log(level, "reconciler_paused", error=error)
            except Exception:
                self._failures += 1
                logger.exception("reconciler_failed")
            self._engine.dispose()
            self._stopping.wait(RECONNECT_BACKOFF.delay(max(1, self._failures)))

    def _serve(self, connection: Connection) -> None:
        """Reconcile while this connection lives."""
        if not self._wait_for_leadership(connection):
            return
        if self._failures:
            self._head_start_until = time.monotonic() + self._recorder_head_start
        logger.info("reconciler_leads")
        while not self._stopping.is_set():
            self._keep_house(connection)
            more = self._turn(connection)
            self._failures = 0
            if not more:
                self._stopping.wait(self._interval)

    def _wait_for_leadership(self, connection: Connection) -> bool:
        take_lock = text("SELECT pg_try_advisory_lock(:key)")
        while not connection.execute(take_lock, {"key": LEADER_LOCK_KEY}).scalar_one():
            if self._stopping.wait(self._interval):
                return False
        return True

    def _turn(self, connection: Connection) -> bool:
        """Sweep one batch of expired leases; True if there may be more."""
        now = time.time()
        expired = lease_table.expired_leases(connection, now, limit=LEASE_BATCH_SIZE)
        if any(lease.missing for lease in expired) and self._recorder_is_behind():
            return False
        recorded = outcomes_of(connection, {name for lease in expired for name in lease.lost or ()})
        plan = plan_sweep(expired, recorded, now)
        if plan.missing:
            logger.warning("leases_expired", requests=plan.missing)
        send(self._outbox, plan.messages)
        lease_table.settle(connection, plan.settled)
        lease_table.postpone(connection, plan.open, now, first=self._first_recheck, longest=MAX_RECHECK_S)
        return len(expired) == LEASE_BATCH_SIZE

    def _recorder_is_behind(self) -> bool:
        if time.monotonic() < self._head_start_until:
            logger.info("recorder_goes_first")
            return True
        waiting = self._depths.depth(names.OUTCOMES_QUEUE)
        if waiting is None or waiting > RECORDER_BEHIND_MESSAGES:
            logger.info("recorder_is_behind", messages=waiting)
            return True
        return False

    def _keep_house(self, connection: Connection) -> None:
        if time.monotonic() - self._housekeeping_at < HOUSEKEEPING_INTERVAL_S:
            return
        self._housekeeping_at = time.monotonic()
        try:
            created = create_ahead(self._engine, datetime.now(UTC))
        except StraightLineError as error:
            logger.warning("partitions_not_created", error=error)
        else:
            logger.info("partitions_created", partitions=created)
        try:
            purge_submissions(connection, datetime.now(UTC))
        except StraightLineError as error:
            logger.warning("submissions_not_purged", error=error)
