"""Following a stream of the broker: what stands in it, and then each entry as it comes."""

import logging
import secrets
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from pika import BasicProperties

from straightline import names
from straightline.amqp.connection.connection import ManagedConnection

logger = logging.getLogger(__name__)

CATCH_UP_TIMEOUT_S: Final = 10.0
"""Seconds after which work goes on although the stream could not be read to its end."""
PREFETCH_COUNT: Final = 512
MARK_RETRY_INTERVAL_S: Final = 1.0
"""Seconds until a mark that was not read is written once more: where the topology is being declared, the
stream may be there before what leads to it."""
ACK_EVERY: Final = 128
"""A stream wants acknowledgements as credit for more; nothing is taken out of it."""


class StreamReader:
    """Reads a stream for as long as it is open; after a lost connection from the same offset anew.

    A stream does not say where it ends. So the reader puts a mark of its own behind what is there and waits
    for it: then it has caught up.

    Args:
        url: of the broker.
        name: shown as the connection's name in the broker's tools.
        stream: its name.
        exchange: what its entries are published to.
        key: their routing key; marks come by another exchange, to which more may write, under any key
            (RabbitMQ delivers by the keys in the headers `CC` and `BCC`, too).
        mark: routing key of its marks on `straightline.signals`; None for who may not write there, and so
            never knows that it has caught up.
        offset: where to begin, asked for each connection.
        on_entry: called with each entry's body, on the reader's thread; it must not block.
        without: what happens where the stream cannot be read, for people.

    Raises:
        ConfigurationError: `url` is not an AMQP URL.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        stream: str,
        exchange: str,
        key: str,
        mark: str | None,
        offset: Callable[[], str | datetime],
        on_entry: Callable[[bytes], None],
        without: str,
    ) -> None:
        self._stream = stream
        self._exchange = exchange
        self._key = key
        self._mark_key = mark
        self._offset = offset
        self._on_entry = on_entry
        self._without = without
        self._mark = b""
        self._caught_up = threading.Event()
        self._current_since: float | None = None
        self._link = ManagedConnection(url, name, on_channel=self._setup, on_lost=self._lost)
        self._asked_at = 0.0
        self._given_up = False

    def start(self) -> None:
        """Begin to read."""
        self._link.start()

    @property
    def trouble(self) -> str | None:
        """Why no entries can arrive now, for people; None if they can."""
        return self._link.trouble

    def wait(self) -> None:
        """Wait until all that was appended before now is read, or `CATCH_UP_TIMEOUT_S` is over."""
        if not self.ready() and not self._caught_up.wait(CATCH_UP_TIMEOUT_S):
            self.ready()

    def ready(self) -> bool:
        """Return whether all is read, or `CATCH_UP_TIMEOUT_S` is over since the first call; never waits."""
        if self._caught_up.is_set() or self._given_up:
            return True
        self._asked_at = self._asked_at or time.monotonic()
        if time.monotonic() - self._asked_at < CATCH_UP_TIMEOUT_S:
            return False
        self._given_up = True
        logger.warning(
            "%s cannot be read (%s), %s: see `python -m broker_config`",
            self._stream,
            self._link.trouble,
            self._without,
        )
        return True

    def synced_for(self) -> float | None:
        """Return for how many seconds all that is appended has been known here; None where it is not."""
        since = self._current_since
        return None if since is None else time.monotonic() - since

    def close(self, timeout: float = 5.0) -> None:
        """Close the connection."""
        self._link.stop(timeout)

    def _lost(self, _reason: BaseException) -> None:
        self._current_since = None

    def _setup(self, channel: Any) -> None:
        self._mark = secrets.token_hex(12).encode()  # one of an earlier connection stands before its end

        def consuming(_frame: Any) -> None:
            if self._mark_key is None:
                self._link.mark_working()
                return
            mark()

        def mark() -> None:
            if self._current_since is None and channel.is_open:
                properties = BasicProperties(delivery_mode=1)
                channel.basic_publish(names.SIGNALS, self._mark_key, self._mark, properties)
                self._link.call_later(MARK_RETRY_INTERVAL_S, mark)

        channel.add_on_cancel_callback(lambda _: channel.connection.is_open and channel.connection.close())
        channel.basic_qos(prefetch_count=PREFETCH_COUNT)
        channel.basic_consume(
            self._stream,
            self._arrived,
            arguments={"x-stream-offset": self._offset()},
            callback=consuming,
        )

    def _arrived(self, channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        if method.delivery_tag % ACK_EVERY == 0:
            channel.basic_ack(method.delivery_tag, multiple=True)
        if method.routing_key == self._mark_key:
            if body == self._mark and self._current_since is None:
                self._link.mark_working()
                self._current_since = time.monotonic()
                self._caught_up.set()
        elif (method.exchange, method.routing_key) == (self._exchange, self._key):
            self._on_entry(body)
