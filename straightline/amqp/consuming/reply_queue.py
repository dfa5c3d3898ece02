"""Messages pushed to this process alone: an exclusive queue, declared again on every new connection."""

import logging
import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from straightline.amqp.connection.connection import ManagedConnection
from straightline.amqp.connection.loop_thread import AMQPThread
from straightline.errors import BrokerUnavailable

logger = logging.getLogger(__name__)


class ReplyQueue:
    """Consumes an exclusive queue, bound to an exchange.

    The queue goes with its connection, so what was pushed in between is lost. On the next connection it has
    the same name: what is pushed from then on arrives.

    Args:
        url: of the broker.
        name: shown as the connection's name in the broker's tools.
        queue: its name, which is its address too.
        exchange: what messages are pushed to.
        key: the routing key of those that are wanted; None takes the queue's name.
        on_message: called with correlation id and body, on the inbox's thread; it must not block.
        also: further routing keys, each with what is called with the bodies of its messages; questions come
            by their own exchange.
        thread: where its connection lives; None for a thread of its own.
        gives_up: whether nobody waits where the broker has refused the user or the password for seconds and
            there was no connection yet.

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
        self._known = threading.Event()  # that it is ready, or that waiting does not help
        self._callers: list[Callable[[], None]] = []
        self._closed = False
        self.losses = 0
        """How often the connection was lost, and with it what was pushed meanwhile."""
        self._link = ManagedConnection(
            url,
            name,
            on_channel=self._setup,
            on_lost=self._lost,
            thread=thread,
            on_failed=self._failed if gives_up else None,
        )
        self._link.start()

    @property
    def trouble(self) -> str | None:
        """Why nothing can arrive now, for people; None where it can."""
        return None if self._ready.is_set() else self._link.trouble

    def wait_ready(self, timeout: float) -> None:
        """Return once messages can arrive.

        Raises:
            BrokerUnavailable: that took longer than `timeout` seconds, or the inbox is closed.
        """
        if self._closed:
            raise self.not_ready(timeout)
        if not self._ready.is_set():
            self._known.wait(timeout)
            if not self._ready.is_set():
                raise self.not_ready(timeout)

    @property
    def ready(self) -> bool:
        """Whether messages can arrive now."""
        return self._ready.is_set() and not self._closed

    def when_ready(self, call: Callable[[], None]) -> None:
        """Call `call` once, on the inbox's thread, when messages can arrive, or waiting does not help.

        Raises:
            BrokerUnavailable: the inbox is closed.
        """
        if self._closed:
            raise self.not_ready(0.0)
        self._link.call(lambda: call() if self._ready.is_set() else self._callers.append(call))

    def not_ready(self, timeout: float) -> BrokerUnavailable:
        """Return the error that says that no message could arrive within `timeout` seconds, and why."""
        if self._closed:
            return BrokerUnavailable("the client is closed: make a new one")
        if self._known.is_set():
            return BrokerUnavailable(f"no queue for results could be made: {self._link.trouble}")
        return BrokerUnavailable(
            f"no queue for results could be made within {timeout:g} s ({self._link.trouble}); "
            "is the broker started, and is the URL right?"
        )

    def close(self, timeout: float = 5.0) -> None:
        """Close the connection; the queue goes with it."""
        self._closed = True
        self._ready.clear()
        self._link.stop(timeout)

    def _setup(self, channel: Any) -> None:
        def declared(_frame: Any) -> None:
            for key in self._also:
                channel.queue_bind(self._queue, self._exchange, routing_key=key)
            channel.queue_bind(self._queue, self._exchange, routing_key=self._key, callback=bound)

        def bound(_frame: Any) -> None:
            # Acked on delivery: the queue does not outlive this consumer, so nothing could come again.
            channel.basic_consume(
                self._queue, self._arrived, auto_ack=True, exclusive=True, callback=consuming
            )

        def consuming(_frame: Any) -> None:
            self._link.mark_working()
            self._ready.set()
            self._tell()

        channel.queue_declare(self._queue, exclusive=True, auto_delete=True, callback=declared)

    def _tell(self) -> None:
        self._known.set()
        callers, self._callers = self._callers, []
        for call in callers:
            call()

    def _failed(self, hopeless: bool) -> None:
        if hopeless:
            self._tell()
        else:
            self._known.clear()  # what went wrong now may pass

    def _lost(self, _reason: BaseException) -> None:
        self._ready.clear()
        self._known.clear()
        self.losses += 1

    def _arrived(self, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
        other = self._also.get(method.routing_key)
        if other is not None:
            other(body)
        else:
            self._on_message(properties.correlation_id, body)
