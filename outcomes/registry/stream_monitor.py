"""Which revision stands in the stream of what is deployed: others go by it, and not by the ledger."""

import logging
from typing import Final

import msgspec

from straightline import names
from straightline.amqp.consuming.stream import StreamReader
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError

logger = logging.getLogger(__name__)

EMPTY_STREAM: Final = -1


class _Entry(msgspec.Struct):
    revision: int


class RegistryStreamMonitor:
    """Follows the stream for its numbers alone.

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
            offset=self._anew,
            on_entry=self._read,
            without="and nobody notices where the registry is older than what was announced",
        )

    def start(self) -> None:
        """Begin to read."""
        self._reader.start()

    def close(self) -> None:
        """Close the connection."""
        self._reader.close()

    def revision(self) -> int | None:
        """Return the highest that stands there, -1 where none does; None where it is not read to its end."""
        return None if self._reader.synced_for() is None else self._revision

    def _anew(self) -> str:
        self._revision = EMPTY_STREAM  # the broker may be another one
        return "first"

    def _read(self, body: bytes) -> None:
        try:
            self._revision = max(self._revision, decode(body, _Entry).revision)
        except ContractError as error:
            logger.warning("an entry of %s cannot be read: %s", names.DEPLOYED_STREAM, error)
