"""The reconciler's part of the registry: what stands there and was not announced is announced."""

import logging
import threading
import time
from typing import Final

from sqlalchemy import Engine

from outcomes.database import translated
from outcomes.registry import read_deployed, revision_of
from outcomes.sending import Outbox, send
from straightline.amqp.deployments import announcement
from straightline.errors import StraightLineError

AGAIN: Final = 600.0
"""Seconds after which it is announced again: the stream is bounded, and a broker may have been made anew."""

logger = logging.getLogger(__name__)


class Announcer:
    """Announces what is deployed, at its start and when the registry has another revision than it announced.

    A deployer announces each change by itself. This one mends what that misses: the deployer died between
    commit and publish, or the broker was made anew and its stream is empty.

    Args:
        engine: to the ledger.
        outbox: what publishes.
        interval: seconds between looks.
    """

    def __init__(self, engine: Engine, outbox: Outbox, *, interval: float) -> None:
        self._engine = engine
        self._outbox = outbox
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
        with translated(), self._engine.connect() as connection:
            known = revision_of(connection) == self._announced
            if known and time.monotonic() - self._told_at < AGAIN:
                return
            deployed = read_deployed(connection)
        send(self._outbox, [announcement(deployed)])
        self._announced, self._told_at = deployed.revision, time.monotonic()
        logger.info(
            "announced what is deployed: %d models, revision %d", len(deployed.models), deployed.revision
        )
