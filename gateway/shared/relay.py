"""From one queue to somewhere else: a message is acknowledged when what was made of it is safe there."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, Final, Generic, TypeVar

from straightline.amqp.connection.connection import ManagedConnection
from straightline.errors import StraightLineError

log = logging.getLogger(__name__)

RETRY_INTERVAL_S: Final = 1.0
"""Seconds until what was not taken is tried again; meanwhile the prefetch waits."""

T = TypeVar("T")


class UnreadableMessage(StraightLineError):  # noqa: N818 - it says what the message is
    """Nobody can be answered: the message goes to the dead letters."""


class Relay(Generic[T]):
    """Consumes a queue and passes on what `translate` makes of each message.

    Delivery is at least once: what was not acknowledged when a connection was lost comes again.

    Args:
        url: of the broker.
        queue: to consume.
        translate: from pika's properties and the body to what is passed on; raises `UnreadableMessage`.
        pass_on: returns a future that is done when it is safe; what it raises is tried again.
        prefetch: messages that may be unacknowledged.
    """

    def __init__(
        self,
        url: str,
        queue: str,
        translate: Callable[[Any, bytes], T],
        pass_on: Callable[[T], "Future[None]"],
        *,
        prefetch: int,
    ) -> None:
        self._queue = queue
        self._translate = translate
        self._pass_on = pass_on
        self._prefetch = prefetch
        self._channel: Any = None
        self._link = ManagedConnection(
            url, f"straightline-gateway {queue}", on_channel=self._open, on_lost=self._lost
        )

    def start(self) -> None:
        """Connect and consume, from now on and after every loss."""
        self._link.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Close the connection; what is not acknowledged goes back to the queue."""
        self._link.stop(timeout)

    # All below runs on the link's thread, but for `_answered`.

    def _open(self, channel: Any) -> None:
        self._channel = channel
        channel.add_on_cancel_callback(lambda _frame: channel.close(404, "the queue was deleted"))

        def consume(_frame: Any) -> None:
            channel.basic_consume(
                self._queue, self._arrived, callback=lambda _frame: self._link.mark_working()
            )

        channel.basic_qos(prefetch_count=self._prefetch, callback=consume)

    def _lost(self, _reason: BaseException) -> None:
        self._channel = None

    def _arrived(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        try:
            item = self._translate(properties, body)
        except UnreadableMessage as error:
            log.warning("a message of %s goes to the dead letters: %s", self._queue, error)
            channel.basic_reject(method.delivery_tag, requeue=False)
        except Exception:
            log.exception("a message of %s met an unexpected fault and goes to the dead letters", self._queue)
            channel.basic_reject(method.delivery_tag, requeue=False)
        else:
            self._send(channel, method.delivery_tag, item)

    def _send(self, channel: Any, tag: int, item: T) -> None:
        if channel is self._channel:  # else the broker delivers it again
            self._pass_on(item).add_done_callback(partial(self._answered, channel, tag, item))

    def _answered(self, channel: Any, tag: int, item: T, future: "Future[None]") -> None:
        """Runs on a thread of whoever took it."""
        error = future.exception()
        if error is None:
            self._link.call(partial(self._acknowledge, channel, tag))
            return
        log.error("a message of %s was not passed on: %s; trying again", self._queue, error)
        again = partial(self._send, channel, tag, item)
        self._link.call(lambda: self._link.call_later(RETRY_INTERVAL_S, again))

    def _acknowledge(self, channel: Any, tag: int) -> None:
        if channel is self._channel and channel.is_open:
            channel.basic_ack(tag)


def serve_all(relays: Sequence[Relay[Any]], wait: Callable[[], None]) -> None:
    """Run relays until `wait` returns."""
    for relay in relays:
        relay.start()
    try:
        wait()
    finally:
        for relay in relays:
            relay.stop()
