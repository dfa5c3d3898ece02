"""Messages pushed to this process: an exclusive queue, declared again on each new connection."""

import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from straightline.amqp.connection.loop_thread import AMQPThread
from straightline.amqp.consuming.consumer import Consumer
from straightline.errors import BrokerUnavailable


class ReplyQueue:
    """Consumes an exclusive queue, bound to an exchange.

    The broker deletes the queue with its connection, so messages pushed in between are lost. The next
    connection declares it with the same name and receives what is pushed from then on.

    Args:
        url: of the broker.
        name: shown as the connection's name in the broker's tools.
        queue: name of the queue, and its address for replies.
        exchange: exchange to bind it to.
        key: binding key of replies; None takes the queue's name.
        on_message: called with correlation id and body of a reply, on the connection's thread; it must not
            block.
        also: further binding keys, each with a function called with the bodies of its messages.
        thread: the thread that runs the connection; None starts one.
        gives_up: whether waiting callers fail once the broker has refused the user or the password for
            seconds and there was no connection yet.

    Attributes:
        losses: number of connections lost, and with them what was pushed until the next one.

    Raises:
        ConfigurationError: `url` is not an AMQP URL.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        queue: str,
        exchange: str,
        on_message: Callable[[str | None, bytes], None],
        key: str | None = None,
        also: Mapping[str, Callable[[bytes], None]] = MappingProxyType({}),
        thread: AMQPThread | None = None,
        gives_up: bool = False,
    ) -> None:
        self._queue = queue
        self._key = queue if key is None else key
        self._exchange = exchange
        self._on_message = on_message
        self._also = also
        self._ready = threading.Event()
        self._settled = threading.Event()  # ready, or waiting is pointless
        self._callers: list[Callable[[], None]] = []
        self._closed = False
        self.losses = 0
        # Acked on delivery: the queue does not outlive its consumer, so nothing could be redelivered.
        self._consumer = Consumer(
            url,
            name=name,
            queue=queue,
            on_delivery=self._arrived,
            on_consuming=self._consuming,
            on_lost=self._lost,
            on_failed=self._failed if gives_up else None,
            declare=self._declare,
            auto_ack=True,
            exclusive=True,
            thread=thread,
        )
        self._connection = self._consumer.connection
        self._connection.start()

    @property
    def trouble(self) -> str | None:
        """Why no message can arrive now, for people; None where it can."""
        return None if self._ready.is_set() else self._connection.trouble

    def wait_ready(self, timeout: float) -> None:
        """Wait until messages can arrive.

        Raises:
            BrokerUnavailable: it took longer than `timeout` seconds, or the queue is closed.
        """
        if self._closed:
            raise self.not_ready(timeout)
        if not self._ready.is_set():
            self._settled.wait(timeout)
            if not self._ready.is_set():
                raise self.not_ready(timeout)

    @property
    def ready(self) -> bool:
        """Whether messages can arrive now."""
        return self._ready.is_set() and not self._closed

    def when_ready(self, call: Callable[[], None]) -> None:
        """Call `call` once, on the connection's thread, when messages can arrive or waiting is pointless.

        Raises:
            BrokerUnavailable: the queue is closed.
        """
        if self._closed:
            raise self.not_ready(0.0)
        self._connection.call(lambda: call() if self._ready.is_set() else self._callers.append(call))

    def not_ready(self, timeout: float) -> BrokerUnavailable:
        """Return the error for a queue that was not ready within `timeout` seconds."""
        if self._closed:
            return BrokerUnavailable("the client is closed: make a new one")
        if self._settled.is_set():
            return BrokerUnavailable(f"the reply queue cannot be declared: {self._connection.trouble}")
        return BrokerUnavailable(
            f"the reply queue was not ready within {timeout:g} s: {self._connection.trouble}. Check that the "
            "broker runs and that the URL is right"
        )

    def close(self, timeout: float = 5.0) -> None:
        """Close the connection, which deletes the queue."""
        self._closed = True
        self._ready.clear()
        self._connection.stop(timeout)

    # All below runs on the connection's thread.

    def _declare(self, channel: Any, declared: Callable[[], None]) -> None:
        def bind(_frame: Any) -> None:
            for key in self._also:
                channel.queue_bind(self._queue, self._exchange, routing_key=key)
            channel.queue_bind(
                self._queue, self._exchange, routing_key=self._key, callback=lambda _frame: declared()
            )

        channel.queue_declare(self._queue, exclusive=True, auto_delete=True, callback=bind)

    def _consuming(self, _channel: Any) -> None:
        self._connection.mark_working()
        self._ready.set()
        self._wake()

    def _wake(self) -> None:
        self._settled.set()
        callers, self._callers = self._callers, []
        for call in callers:
            call()

    def _failed(self, hopeless: bool) -> None:
        if hopeless:
            self._wake()
        else:
            self._settled.clear()  # this failure may pass

    def _lost(self, _reason: BaseException) -> None:
        self._ready.clear()
        self._settled.clear()
        self.losses += 1

    def _arrived(self, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
        other = self._also.get(method.routing_key)
        if other is not None:
            other(body)
        else:
            self._on_message(properties.correlation_id, body)
