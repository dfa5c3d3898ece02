"""Following the stream of cancelled ids: all of the last day, and then each as it comes."""

import logging
import secrets
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from pika import BasicProperties

from straightline import names
from straightline.amqp.link import Link
from straightline.contracts import Cancel

logger = logging.getLogger(__name__)

LOOK_BACK: Final = timedelta(days=1)
"""The longest lifetime of a request that names no deadline; the stream keeps twice as much."""
PATIENCE: Final = 10.0
"""Seconds after which work goes on although the stream could not be read to its end."""
PREFETCH: Final = 512
ACK_EVERY: Final = 128
"""A stream wants acknowledgements as credit for more; nothing is taken out of it."""


class Cancellations:
    """Reads the stream from a day ago, and goes on for as long as it is open. Ids may come more than once.

    A stream does not say where it ends. So the reader puts a mark of its own behind what is there and waits
    for it: then it has caught up.

    Args:
        url: of the broker.
        name: shown as the connection's name in the broker's tools.
        on_id: called with each cancelled id, on the reader's thread; it must not block.

    Raises:
        ConfigurationError: `url` is not an AMQP URL.
    """

    def __init__(self, url: str, *, name: str, on_id: Callable[[str], None]) -> None:
        self._on_id = on_id
        self._mark = b""
        self._caught_up = threading.Event()
        self._link = Link(url, name, on_channel=self._setup, on_lost=lambda _: None)
        self._asked_at = 0.0
        self._given_up = False

    def start(self) -> None:
        """Begin to read."""
        self._link.start()

    def wait(self) -> None:
        """Wait until all that was cancelled before now is known, or `PATIENCE` is over."""
        if not self.ready() and not self._caught_up.wait(PATIENCE):
            self.ready()

    def ready(self) -> bool:
        """Say without waiting whether all is known, or `PATIENCE` is over since this was asked first."""
        if self._caught_up.is_set() or self._given_up:
            return True
        self._asked_at = self._asked_at or time.monotonic()
        if time.monotonic() - self._asked_at < PATIENCE:
            return False
        self._given_up = True
        logger.warning(
            "what was cancelled cannot be read from %s (%s) and may run: see `python -m broker_config`",
            names.CANCELLED_STREAM,
            self._link.trouble,
        )
        return True

    def close(self, timeout: float = 5.0) -> None:
        """Close the connection."""
        self._link.stop(timeout)

    def _setup(self, channel: Any) -> None:
        self._mark = secrets.token_hex(12).encode()  # one of an earlier connection stands before its end

        def consuming(_frame: Any) -> None:
            channel.basic_publish(names.SIGNALS, names.MARK_KEY, self._mark, BasicProperties(delivery_mode=1))

        channel.add_on_cancel_callback(lambda _: channel.connection.is_open and channel.connection.close())
        channel.basic_qos(prefetch_count=PREFETCH)
        channel.basic_consume(
            names.CANCELLED_STREAM,
            self._arrived,
            arguments={"x-stream-offset": datetime.now(UTC) - LOOK_BACK},
            callback=consuming,
        )

    def _arrived(self, channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        if method.delivery_tag % ACK_EVERY == 0:
            channel.basic_ack(method.delivery_tag, multiple=True)
        if method.routing_key == names.MARK_KEY:
            if body == self._mark:
                self._link.working()
                self._caught_up.set()
        elif (
            method.routing_key == names.CANCELLED_KEY
        ):  # marks come by another exchange, which pools may write
            try:
                self._on_id(msgspec.json.decode(body, type=Cancel).id)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                logger.warning("an entry of %s cannot be read: %s", names.CANCELLED_STREAM, error)
