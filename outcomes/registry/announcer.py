"""The reconciler's part of the registry: what stands there and was not announced is announced."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from sqlalchemy import Engine

from outcomes.db.translation import translated
from outcomes.messaging.sending import Outbox, send
from outcomes.registry.deployments import fast_forward_revision
from outcomes.registry.registry import read_deployed, revision_of
from straightline.amqp.consuming.deployments import announcement
from straightline.contracts.deployed import Deployed
from straightline.errors import StraightLineError

REANNOUNCE_INTERVAL_S: Final = 600.0
"""Seconds after which it is announced again, whatever stands in the stream."""

logger = logging.getLogger(__name__)


class Announcer:
    """Announces what is deployed, at its start and when registry and stream have different revisions.

    A deployer announces each change by itself. This one mends what that misses: the deployer died between
    commit and publish; the broker was made anew and its stream is empty; the ledger was restored from an
    older copy, and everybody would hold what is deployed from now on for older than what they know.

    Args:
        engine: to the ledger.
        outbox: what publishes.
        heard: returns the highest revision in the stream, -1 where it is empty; None where nobody knows.
        interval: seconds between looks.
    """

    def __init__(
        self, engine: Engine, outbox: Outbox, heard: Callable[[], int | None], *, interval: float
    ) -> None:
        self._engine = engine
        self._outbox = outbox
        self._heard = heard
        self._interval = interval
        self._announced: int | None = None
        self._told_at = float("-inf")
        self._stopping = threading.Event()
        self._failed = False

    def stop(self) -> None:
        """Make `run` return soon; from any thread."""
        self._stopping.set()

    def run(self) -> None:
        """Look and announce until `stop`."""
        while not self._stopping.is_set():
            try:
                self.look()
                self._failed = False
            except StraightLineError as error:
                level = logging.DEBUG if self._failed else logging.WARNING
                self._failed = True
                logger.log(level, "what is deployed is not announced now: %s", error)
            except Exception:
                logger.exception("announcing what is deployed met an unexpected fault")
            self._stopping.wait(self._interval)

    def look(self) -> None:
        """Announce what is deployed, where this was not done, or not for a while.

        Raises:
            StraightLineError: ledger or broker are not there now.
        """
        heard = self._heard()  # before the ledger is asked: what was announced by then is committed
        with translated(), self._engine.connect() as connection:
            # All of it as of one moment: a deployer may commit meanwhile.
            snapshot = connection.execution_options(isolation_level="REPEATABLE READ")
            revision = revision_of(snapshot)
            known = revision == self._announced and heard in {revision, None}
            if known and time.monotonic() - self._told_at < REANNOUNCE_INTERVAL_S:
                return
            deployed = read_deployed(snapshot)
        if heard is not None and heard > revision:
            deployed = self._overtake(heard, revision)
        send(self._outbox, [announcement(deployed)])
        self._announced, self._told_at = deployed.revision, time.monotonic()
        logger.info(
            "announced what is deployed: %d models, revision %d", len(deployed.models), deployed.revision
        )

    def _overtake(self, heard: int, revision: int) -> Deployed:
        with translated(), self._engine.connect() as connection:
            deployed = fast_forward_revision(connection, heard)
        logger.warning(
            "the registry stands at revision %d, and %d was announced: the ledger seems restored from an "
            "older copy. Its revisions go on at %d, so that what it holds is what is deployed",
            revision,
            heard,
            deployed.revision,
        )
        return deployed
