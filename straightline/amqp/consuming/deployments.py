"""The stream of deployed models: its reader, and the message that appends to it."""

import threading
from collections.abc import Callable
from typing import Final

from straightline import names
from straightline.amqp.consuming.stream import StreamReader
from straightline.contracts.deployed import Deployed
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError
from straightline.support.event_log import EventLogger

logger = EventLogger(__name__)

EMPTY_STREAM_TIMEOUT_S: Final = 30.0
"""A stream that stays empty this long means that nothing was ever deployed: the reconciler announces when it
starts, and on a new broker."""


class DeploymentStream(StreamReader):
    """Reads the stream from its first entry until it is closed.

    Args:
        url: of the broker.
        name: shown as the connection's name in the broker's tools.
        on_change: called with each announcement of a higher revision than all before, on the reader's thread;
            it must not block.
        marks: whether the user may write marks; without them the reader never knows that it has caught up.

    Raises:
        ConfigurationError: `url` is not an AMQP URL.
    """

    def __init__(
        self, url: str, *, name: str, on_change: Callable[[Deployed], None], marks: bool = True
    ) -> None:
        super().__init__(
            url,
            name=name,
            stream=names.DEPLOYED_STREAM,
            exchange=names.REGISTRY,
            key=names.DEPLOYED_KEY,
            mark=names.DEPLOYED_MARK_KEY if marks else None,
            offset=lambda: "first",
            on_entry=self._read,
            without="and this process does not know the deployed models until it can",
        )
        self._on_change = on_change
        self._revision = -1
        self._first = threading.Event()

    def wait_for_first(self, seconds: float) -> bool:
        """Wait until an announcement was read, `seconds` at most, and return whether one was."""
        return self._first.wait(seconds)

    def synced(self) -> bool:
        """Return whether all announcements are known here; False while the stream cannot be read."""
        current = self.synced_for()
        if current is None:
            return False
        return self._revision >= 0 or current > EMPTY_STREAM_TIMEOUT_S

    def _read(self, body: bytes) -> None:
        try:
            deployed = decode(body, Deployed)
        except ContractError as error:
            logger.warning("stream_entry_skipped", stream=names.DEPLOYED_STREAM, error=error)
            return
        if deployed.revision > self._revision:
            self._revision = deployed.revision
            self._on_change(deployed)
            self._first.set()
