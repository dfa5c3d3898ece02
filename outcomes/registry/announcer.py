"""The announcer loop: publishes what is deployed when the stream lacks the registry's revision."""

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
from straightline.contracts.deployed import Deployed
from straightline.errors import StraightLineError
from straightline.messages.streams import deployed_message
from straightline.support.event_log import EventLogger

REANNOUNCE_INTERVAL_S: Final = 600.0
"""Time after which the registry is announced again, whatever the stream holds."""

logger = EventLogger(__name__)


class Announcer:
    """Announces the registry at its start, and whenever registry and stream have different revisions.

    A deployer announces each change itself. This loop repairs what that misses: the deployer died between
    commit and publish; the broker was recreated and its stream is empty; the ledger was restored from an
    older backup, so that components would ignore later deployments as outdated.

    Args:
        engine: to the ledger.
        outbox: publishes announcements.
        stream_revision: returns the highest revision in the stream, -1 if it is empty, None if unknown.
        interval: seconds between checks.
    """

    def __init__(
        self, engine: Engine, outbox: Outbox, stream_revision: Callable[[], int | None], *, interval: float
    ) -> None:
        self._engine = engine
        self._outbox = outbox
        self._stream_revision = stream_revision
        self._interval = interval
        self._announced: int | None = None
        self._announced_at = float("-inf")
        self._stopping = threading.Event()
        self._failed = False

    def stop(self) -> None:
        """Make `run` return soon. Thread-safe."""
        self._stopping.set()

    def run(self) -> None:
        """Check and announce until `stop`."""
        while not self._stopping.is_set():
            try:
                self.announce_if_needed()
                self._failed = False
            except StraightLineError as error:
                level = logging.DEBUG if self._failed else logging.WARNING
                self._failed = True
                logger.log(level, "registry_not_announced", error=error)
            except Exception:
                logger.exception("registry_announcement_failed")
            self._stopping.wait(self._interval)

    def announce_if_needed(self) -> None:
        """Announce the registry if the stream lacks its revision, or `REANNOUNCE_INTERVAL_S` has passed.

        Raises:
            StraightLineError: ledger or broker are unavailable.
        """
        in_stream = self._stream_revision()  # read before the ledger: what was announced by then is committed
        with translated(), self._engine.connect() as connection:
            # One snapshot: a deployer may commit meanwhile.
            snapshot = connection.execution_options(isolation_level="REPEATABLE READ")
            revision = revision_of(snapshot)
            known = revision == self._announced and in_stream in {revision, None}
            if known and time.monotonic() - self._announced_at < REANNOUNCE_INTERVAL_S:
                return
            deployed = read_deployed(snapshot)
        if in_stream is not None and in_stream > revision:
            deployed = self._fast_forward(in_stream, revision)
        send(self._outbox, [deployed_message(deployed)])
        self._announced, self._announced_at = deployed.revision, time.monotonic()
        logger.info("registry_announced", models=len(deployed.models), revision=deployed.revision)

    def _fast_forward(self, in_stream: int, revision: int) -> Deployed:
        with translated(), self._engine.connect() as connection:
            deployed = fast_forward_revision(connection, in_stream)
        logger.warning(
            "registry_restored_from_backup",
            revision=revision,
            announced_revision=in_stream,
            next_revision=deployed.revision,
        )
        return deployed
