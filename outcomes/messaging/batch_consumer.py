"""Taking messages from a queue, many at a time, and acknowledging them."""

import threading
from collections import deque
from concurrent.futures import Future
from typing import Any, Final

from pika.exceptions import ChannelClosedByBroker

from outcomes.rows.decoding import Delivery
from straightline import names
from straightline.amqp.connection.connection import ManagedConnection
from straightline.amqp.publishing.channel_errors import ACCESS_REFUSED
from straightline.errors import ConfigurationError

MAX_BATCH_BYTES: Final = 8 * 1024 * 1024
"""Bytes of bodies in one run: Postgres copies no faster with more."""


class BatchConsumer:
    """A consumer of a queue whose messages are taken in runs by another thread.

    Args:
        url: of the broker.
        prefetch: messages held unacknowledged at most.
        queue: which one.
        name: shown as the connection's name in the broker's tools.

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
        """Connect and consume, from now on and after every loss."""
        self._link.start()

    def admitted(self, within: float = 5.0) -> None:
        """Wait until the first try to read the queue has come to something; `within` seconds at most.

        Raises:
            ConfigurationError: the broker does not let this user read it, which waiting would not change.
        """
        self._tried.wait(within)
        if self._refused:
            raise ConfigurationError(
                f"the broker does not let this user read {self._queue}: STRAIGHTLINE_BROKER_URL must be that "
                "of this component's own user"
            )

    def stop(self, timeout: float = 5.0) -> None:
        """Close the connection; what was not acknowledged goes back to the queue."""
        self.wake()
        self._link.stop(timeout)

    def wake(self) -> None:
        """Make `take` return at once, now and from now on."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def take(self, *, gather: float) -> list[Delivery]:
        """Wait for a message, then `gather` seconds for more, and return what has come, in order.

        All are of one connection. The list is empty once `wake` was called.
        """
        with self._changed:
            while not self._stopped:
                self._changed.wait_for(lambda: self._waiting or self._stopped)
                if not self._full():
                    self._changed.wait_for(lambda: self._full() or self._stopped, gather)
                # What had come is gone where the connection was lost while more was waited for.
                if self._waiting and not self._stopped:
                    return self._run()
            return []

    def current(self, epoch: int) -> bool:
        """Tell whether the connection that `epoch` names is still the one."""
        with self._changed:
            return epoch == self._epoch

    def settle(self, run: list[Delivery], refused: list[Delivery]) -> None:
        """Reject some of a run to the dead-letter queue and acknowledge the others.

        Runs must be settled in the order in which they were taken. On a lost connection nothing is done: the
        broker delivers the run again.
        """
        epoch, bad = run[0].epoch, {delivery.tag for delivery in refused}
        good = [delivery.tag for delivery in run if delivery.tag not in bad]

        def settle() -> None:
            if self._channel is None or not self.current(epoch):
                return
            for tag in bad:
                self._channel.basic_reject(tag, requeue=False)
            if good:  # the broker takes only the tag of a message that is still out
                self._channel.basic_ack(good[-1], multiple=True)

        self._link.call(settle)

    def give_back(self) -> None:
        """Return all that is not settled to the queue, by way of a new connection."""

        def close() -> None:
            if self._channel is not None and self._channel.is_open:
                self._channel.close()

        self._link.call(close)

    def depth(self, queue: str, *, timeout: float = 5.0) -> int | None:
        """Return how many messages wait in a queue that exists; None where the broker does not say."""
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

    def _run(self) -> list[Delivery]:
        run: list[Delivery] = []
        size = 0
        while self._waiting and (not run or size + len(self._waiting[0].body) <= MAX_BATCH_BYTES):
            run.append(self._waiting.popleft())
            size += len(run[-1].body)
        return run

    # All below runs on the link's thread.

    def _open(self, channel: Any) -> None:
        with self._changed:
            self._epoch += 1
            epoch = self._epoch
        self._channel = channel

        def arrived(_channel: Any, method: Any, properties: Any, body: bytes) -> None:
            with self._changed:
                self._waiting.append(Delivery(epoch, method.delivery_tag, properties.type, body, properties))
                if len(self._waiting) == 1 or self._full():
                    self._changed.notify_all()

        def admitted(_frame: Any) -> None:
            self._link.mark_working()
            self._tried.set()

        def consume(_frame: Any) -> None:
            channel.basic_consume(self._queue, arrived, callback=admitted)

        # Who deletes the queue cancels us; a new connection waits until there is one again.
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
