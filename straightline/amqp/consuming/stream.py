"""A reader of a broker stream: all entries that it keeps, then new ones as they arrive."""

import secrets
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from pika import BasicProperties

from straightline import names
from straightline.amqp.consuming.consumer import Consumer
from straightline.support.event_log import EventLogger

logger = EventLogger(__name__)

CATCH_UP_TIMEOUT_S: Final = 10.0
"""Work starts after this time even if the stream was not read to its end."""
PREFETCH_COUNT: Final = 512
MARK_RETRY_INTERVAL_S: Final = 1.0
"""A mark that was not read is published again: while the topology is being declared, the stream may exist
before its bindings."""
ACK_INTERVAL: Final = 128
"""Entries per acknowledgement, which grants credit for more; a stream keeps acknowledged entries."""


class StreamReader:
    """Reads a stream until it is closed; each new connection starts again at the offset.

    A stream does not signal its end. The reader therefore publishes a mark of its own behind the existing
    entries and has caught up when it reads that mark.

    Args:
        url: of the broker.
        name: shown as the connection's name in the broker's tools.
        stream: name of the stream.
        exchange: exchange that its entries are published to.
        key: routing key of its entries. Marks arrive by another exchange, which more users may write to, with
            any key: RabbitMQ also routes by the keys in the headers `CC` and `BCC`.
        mark: routing key of marks on `straightline.signals`; None where the user may not write there, so that
            the reader never knows whether it has caught up.
        offset: returns the offset to start from; called for each connection.
        on_entry: called with the body of each entry, on the reader's thread; it must not block.
        without: consequence of an unreadable stream, for the log.

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
        self._entry = (exchange, key)
        self._mark_key = mark
        self._on_entry = on_entry
        self._without = without
        self._mark = b""
        self._caught_up = threading.Event()
        self._synced_since: float | None = None
        self._first_ready_at = 0.0
        self._timed_out = False
        self._consumer = Consumer(
            url,
            name=name,
            queue=stream,
            on_delivery=self._arrived,
            on_consuming=self._consuming,
            on_lost=self._lost,
            prefetch=PREFETCH_COUNT,
            arguments=lambda: {"x-stream-offset": offset()},
        )
        self._connection = self._consumer.connection

    def start(self) -> None:
        """Start reading."""
        self._connection.start()

    @property
    def trouble(self) -> str | None:
        """Why no entry can arrive now, for people; None where it can."""
        return self._connection.trouble

    def wait(self) -> None:
        """Wait until all entries appended before the call are read, `CATCH_UP_TIMEOUT_S` at most."""
        if not self.ready() and not self._caught_up.wait(CATCH_UP_TIMEOUT_S):
            self.ready()

    def ready(self) -> bool:
        """Return whether all is read, or `CATCH_UP_TIMEOUT_S` is over since the first call; never waits."""
        if self._caught_up.is_set() or self._timed_out:
            return True
        self._first_ready_at = self._first_ready_at or time.monotonic()
        if time.monotonic() - self._first_ready_at < CATCH_UP_TIMEOUT_S:
            return False
        self._timed_out = True
        logger.warning(
            "stream_not_read",
            stream=self._stream,
            error=self._connection.trouble,
            consequence=self._without,
        )
        return True

    def synced_for(self) -> float | None:
        """Return for how many seconds all entries have been known here; None while some are not."""
        since = self._synced_since
        return None if since is None else time.monotonic() - since

    def close(self, timeout: float = 5.0) -> None:
        """Close the connection."""
        self._connection.stop(timeout)

    # All below runs on the connection's thread.

    def _consuming(self, channel: Any) -> None:
        if self._mark_key is None:
            self._connection.mark_working()
            return
        self._mark = secrets.token_hex(12).encode()  # marks of earlier connections precede the end
        self._publish_mark(channel, self._mark_key)

    def _publish_mark(self, channel: Any, key: str) -> None:
        if self._synced_since is None and channel.is_open:
            channel.basic_publish(names.SIGNALS, key, self._mark, BasicProperties(delivery_mode=1))
            self._connection.call_later(MARK_RETRY_INTERVAL_S, lambda: self._publish_mark(channel, key))

    def _lost(self, _reason: BaseException) -> None:
        self._synced_since = None

    def _arrived(self, channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        if method.delivery_tag % ACK_INTERVAL == 0:
            channel.basic_ack(method.delivery_tag, multiple=True)
        if method.routing_key == self._mark_key:
            if body == self._mark and self._synced_since is None:
                self._connection.mark_working()
                self._synced_since = time.monotonic()
                self._caught_up.set()
        elif (method.exchange, method.routing_key) == self._entry:
            self._on_entry(body)
