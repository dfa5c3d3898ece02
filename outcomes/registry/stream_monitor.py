"""Follows the stream of announcements to know its highest revision."""

from typing import Final

import msgspec

from straightline import names
from straightline.amqp.consuming.stream import StreamReader
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError
from straightline.support.event_log import EventLogger

logger = EventLogger(__name__)

EMPTY_STREAM: Final = -1


class _Entry(msgspec.Struct):
    revision: int


class RegistryStreamMonitor:
    """Tracks the highest revision announced. Other components follow the stream, not the ledger.

    Args:
        url: of the broker.

    Raises:
        ConfigurationError: `url` is not an AMQP URL.
    """

    def __init__(self, url: str) -> None:
        self._revision = EMPTY_STREAM
        self._reader = StreamReader(
            url,
            name="straightline-reconciler-deployed",
            stream=names.DEPLOYED_STREAM,
            exchange=names.REGISTRY,
            key=names.DEPLOYED_KEY,
            mark=names.DEPLOYED_MARK_KEY,
            offset=self._restart,
            on_entry=self._read,
            without="and a registry older than the last announcement goes unnoticed",
        )

    def start(self) -> None:
        """Start reading."""
        self._reader.start()

    def close(self) -> None:
        """Close the connection."""
        self._reader.close()

    def revision(self) -> int | None:
        """Return the highest revision, -1 if the stream is empty, None if it is not read to its end."""
        return None if self._reader.synced_for() is None else self._revision

    def _restart(self) -> str:
        self._revision = EMPTY_STREAM  # it may be another broker
        return "first"

    def _read(self, body: bytes) -> None:
        try:
            self._revision = max(self._revision, decode(body, _Entry).revision)
        except ContractError as error:
            logger.warning("stream_entry_skipped", stream=names.DEPLOYED_STREAM, error=error)
