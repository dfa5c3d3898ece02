"""A consumer that hands out messages in batches and acknowledges them."""

import threading
from collections import deque
from concurrent.futures import Future
from typing import Any, Final

from pika.exceptions import ChannelClosedByBroker

from outcomes.messaging.delivery import Delivery
from straightline import names
from straightline.amqp.connection.connection import ManagedConnection
from straightline.amqp.publishing.channel_errors import ACCESS_REFUSED
from straightline.errors import ConfigurationError

MAX_BATCH_BYTES: Final = 8 * 1024 * 1024
"""Bytes of bodies in one batch; larger ones do not make Postgres's COPY faster."""


class BatchConsumer:
    """Consumes a queue on the connection's thread; another thread takes the messages in batches.

    Args:
        url: of the broker.
        prefetch: maximum unacknowledged messages.
        queue: queue to consume.
        name: connection name shown in the broker's tools.

    Raises:
        ConfigurationError: `url` is not an AMQP URL.
    """

    def __init__(
        self,
        url: str,
        *,
        prefetch: int,
        queue: str = names.OUTCOMES_QUEUE,
        name: str = "straightline-recorder",
    ) -> None:
        self._prefetch = prefetch
        self._queue = queue
        self._changed = threading.Condition()  # guards the three below
        self._waiting: deque[Delivery] = deque()
        self._epoch = 0
        self._stopped = False
        self._channel: Any = None
        self._tried = threading.Event()
        self._refused = False
        self._link = ManagedConnection(
            url,
            name,
            on_channel=self._open,
            on_lost=self._lost,
            on_failed=lambda _hopeless: self._tried.set(),
        )

    def start(self) -> None:
        """Connect and consume; reconnect after every loss."""
        self._link.start()

    def require_access(self, timeout: float = 5.0) -> None:
        """Wait up to `timeout` seconds for the first attempt to consume.

        Raises:
            ConfigurationError: the broker denies this user access to the queue.
        """
        self._tried.wait(timeout)
        if self._refused:
            raise ConfigurationError(
                f"the broker denies access to {self._queue}: set STRAIGHTLINE_BROKER_URL to the URL of this "
                "component's own user"
            )

    def stop(self, timeout: float = 5.0) -> None:
        """Close the connection; unacknowledged messages return to the queue."""
        self.wake()
        self._link.stop(timeout)

    def wake(self) -> None:
        """Make `take` return at once from now on."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def take(self, *, gather: float) -> list[Delivery]:
        """Wait for a message, then up to `gather` seconds for more, and return them in order.

        All are of one connection. The list is empty after `wake`.
        """
        with self._changed:
            while not self._stopped:
                self._changed.wait_for(lambda: self._waiting or self._stopped)
                if not self._full():
                    self._changed.wait_for(lambda: self._full() or self._stopped, gather)
                # A connection lost while gathering has taken its messages with it.
                if self._waiting and not self._stopped:
                    return self._next_batch()
            return []

    def is_current(self, epoch: int) -> bool:
        """Tell whether connection number `epoch` is still open."""
        with self._changed:
            return epoch == self._epoch

    def settle(self, batch: list[Delivery], rejected: list[Delivery]) -> None:
        """Reject some messages of a batch to the dead-letter queue and acknowledge the others.

        Batches must be settled in the order in which they were taken. On a lost connection nothing happens:
        the broker redelivers the batch.
        """
        epoch, bad = batch[0].epoch, {delivery.tag for delivery in rejected}
        good = [delivery.tag for delivery in batch if delivery.tag not in bad]

        def settle() -> None:
            if self._channel is None or not self.is_current(epoch):
                return
            for tag in bad:
                self._channel.basic_reject(tag, requeue=False)
            if good:  # a multiple ack must name a tag that is still unacknowledged
                self._channel.basic_ack(good[-1], multiple=True)

        self._link.call(settle)

    def requeue(self) -> None:
        """Return all unsettled messages to the queue by closing the channel."""

        def close() -> None:
            if self._channel is not None and self._channel.is_open:
                self._channel.close()

        self._link.call(close)

    def depth(self, queue: str, *, timeout: float = 5.0) -> int | None:
        """Return the number of messages ready in an existing queue; None if the broker does not answer."""
        answer: Future[int | None] = Future()

        def ask() -> None:
            if self._channel is not None and self._channel.is_open:
                self._channel.queue_declare(
                    queue, passive=True, callback=lambda frame: answer.set_result(frame.method.message_count)
                )
            else:
                answer.set_result(None)

        self._link.call(ask)
        try:
            return answer.result(timeout)
        except TimeoutError:
            return None

    def _full(self) -> bool:
        return len(self._waiting) >= self._prefetch

    def _next_batch(self) -> list[Delivery]:
        batch: list[Delivery] = []
        size = 0
        while self._waiting and (not batch or size + len(self._waiting[0].body) <= MAX_BATCH_BYTES):
            batch.append(self._waiting.popleft())
            size += len(batch[-1].body)
        return batch

    # The methods below run on the connection's thread.

    def _open(self, channel: Any) -> None:
        with self._changed:
            self._epoch += 1
            epoch = self._epoch
        self._channel = channel

        def on_message(_channel: Any, method: Any, properties: Any, body: bytes) -> None:
            with self._changed:
                self._waiting.append(Delivery(epoch, method.delivery_tag, properties.type, body, properties))
                if len(self._waiting) == 1 or self._full():
                    self._changed.notify_all()

        def on_consuming(_frame: Any) -> None:
            self._link.mark_working()
            self._tried.set()

        def consume(_frame: Any) -> None:
            channel.basic_consume(self._queue, on_message, callback=on_consuming)

        # Deleting the queue cancels the consumer; the new connection waits until the queue exists again.
        channel.add_on_cancel_callback(lambda _frame: channel.close(404, "the queue was deleted"))
        channel.basic_qos(prefetch_count=self._prefetch, callback=consume)

    def _lost(self, reason: BaseException) -> None:
        if not self._tried.is_set():
            self._refused = isinstance(reason, ChannelClosedByBroker) and reason.reply_code == ACCESS_REFUSED
            self._tried.set()
        self._channel = None
        with self._changed:
            self._epoch += 1
            self._waiting.clear()
