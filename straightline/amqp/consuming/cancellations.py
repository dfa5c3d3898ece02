"""The stream of cancelled request ids."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from straightline import names
from straightline.amqp.consuming.stream import StreamReader
from straightline.contracts import Cancel
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError
from straightline.support.event_log import EventLogger

logger = EventLogger(__name__)

LOOKBACK: Final = timedelta(days=2)
"""Retention of the stream: twice the longest default lifetime of a request. A request with a later deadline
must be cancelled again after that time."""


class CancellationStream(StreamReader):
    """Reads the stream from two days ago until it is closed. Ids may be repeated.

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
            without="and cancelled requests may run",
        )
        self._on_id = on_id

    def _read(self, body: bytes) -> None:
        try:
            self._on_id(decode(body, Cancel).id)
        except ContractError as error:
            logger.warning("stream_entry_skipped", stream=names.CANCELLED_STREAM, error=error)
