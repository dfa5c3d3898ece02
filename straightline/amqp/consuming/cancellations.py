"""Following the stream of cancelled ids: all that it keeps, and then each as it comes."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from straightline import names
from straightline.amqp.consuming.stream import StreamReader
from straightline.contracts import Cancel
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError

logger = logging.getLogger(__name__)

LOOKBACK: Final = timedelta(days=2)
"""As long as the stream keeps them: twice the longest lifetime of a request that names no deadline. One may
be named that is ten years off: no stream of a bounded size remembers a wish for so long."""


class CancellationStream(StreamReader):
    """Reads the stream from two days ago, and goes on for as long as it is open. Ids may come more than once.

    Args:
        url: of the broker.
        name: shown as the connection's name in the broker's tools.
        on_id: called with each cancelled id, on the reader's thread; it must not block.

    Raises:
        ConfigurationError: `url` is not an AMQP URL.
    """

    def __init__(self, url: str, *, name: str, on_id: Callable[[str], None]) -> None:
        super().__init__(
            url,
            name=name,
            stream=names.CANCELLED_STREAM,
            exchange=names.PLACEMENTS,
            key=names.CANCELLED_KEY,
            mark=names.MARK_KEY,
            offset=lambda: datetime.now(UTC) - LOOKBACK,
            on_entry=self._read,
            without="and what was cancelled may run",
        )
        self._on_id = on_id

    def _read(self, body: bytes) -> None:
        try:
            self._on_id(decode(body, Cancel).id)
        except ContractError as error:
            logger.warning("an entry of %s cannot be read: %s", names.CANCELLED_STREAM, error)
