"""The stream of status events, as gateways follow it."""

from collections.abc import Callable

from straightline import names
from straightline.amqp.consuming.stream import StreamReader
from straightline.contracts.parsing.decoding import decode
from straightline.contracts.status_events import StatusEvents
from straightline.errors import ContractError
from straightline.support.event_log import EventLogger

logger = EventLogger(__name__)


class StatusEventReader(StreamReader):
    """Reads the stream from its oldest entry, then each new one.

    Args:
        url: of the broker.
        name: shown as the connection's name in the broker's tools.
        on_events: called with each message, on the reader's thread; it must not block.

    Raises:
        ConfigurationError: `url` is not an AMQP URL.
    """

    def __init__(self, url: str, *, name: str, on_events: Callable[[StatusEvents], None]) -> None:
        super().__init__(
            url,
            name=name,
            stream=names.STATUS_STREAM,
            exchange=names.STATUS,
            key=names.STATUS_KEY,
            mark=None,
            offset=lambda: "first",
            on_entry=self._read,
            without="and the status of unfinished requests is unknown here",
        )
        self._on_events = on_events

    def _read(self, body: bytes) -> None:
        try:
            events = decode(body, StatusEvents)
        except ContractError as error:
            logger.warning("stream_entry_skipped", stream=names.STATUS_STREAM, error=error)
            return
        self._on_events(events)
