"""A consumer that acknowledges a message once its translation is stored or published elsewhere."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, Final, Generic, TypeVar

from straightline.amqp.connection.connection import ManagedConnection
from straightline.errors import StraightLineError
from straightline.support.event_log import EventLogger

log = EventLogger(__name__)

RETRY_INTERVAL_S: Final = 1.0

T = TypeVar("T")


class UnreadableMessage(StraightLineError):  # noqa: N818 - named for the message
    """A message that is dead-lettered, since its sender cannot be answered."""


class Relay(Generic[T]):
    """Consumes a queue, translates each message and passes it on.

    Delivery is at least once: unacknowledged messages are redelivered when a connection was lost.

    Args:
        url: AMQP URL of the broker.
        queue: queue to consume.
        translate: turns pika's properties and the body into an item; raises `UnreadableMessage`.
        pass_on: returns a future that is done when the item is safe; a failed one is retried.
        prefetch: maximum of unacknowledged messages.
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
        """Connect and consume; reconnect when the connection is lost."""
        self._link.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Close the connection; unacknowledged messages return to the queue."""
        self._link.stop(timeout)

    # Everything below runs on the connection's thread, except `_answered`.

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
            log.warning("message_rejected", queue=self._queue, reason=str(error))
            channel.basic_reject(method.delivery_tag, requeue=False)
        except Exception:
            log.exception("message_not_translated", queue=self._queue)
            channel.basic_reject(method.delivery_tag, requeue=False)
        else:
            self._send(channel, method.delivery_tag, item)

    def _send(self, channel: Any, tag: int, item: T) -> None:
        if channel is self._channel:  # else the broker redelivers it
            self._pass_on(item).add_done_callback(partial(self._answered, channel, tag, item))

    def _answered(self, channel: Any, tag: int, item: T, future: "Future[None]") -> None:
        """Acknowledge or retry; runs on the thread that completed the future."""
        error = future.exception()
        if error is None:
            self._link.call(partial(self._acknowledge, channel, tag))
            return
        log.error("message_not_passed_on", queue=self._queue, error=error, retry_in_s=RETRY_INTERVAL_S)
        again = partial(self._send, channel, tag, item)
        self._link.call(lambda: self._link.call_later(RETRY_INTERVAL_S, again))

    def _acknowledge(self, channel: Any, tag: int) -> None:
        if channel is self._channel and channel.is_open:
            channel.basic_ack(tag)


def serve_all(relays: Sequence[Relay[Any]], wait: Callable[[], None]) -> None:
    """Run the relays until `wait` returns."""
    for relay in relays:
        relay.start()
    try:
        wait()
    finally:
        for relay in relays:
            relay.stop()
