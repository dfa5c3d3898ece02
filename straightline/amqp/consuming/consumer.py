"""A consumer of one queue that reconnects by itself."""

from collections.abc import Callable
from typing import Any, TypeAlias

from straightline.amqp.connection.connection import ManagedConnection
from straightline.amqp.connection.loop_thread import AMQPThread

OnDelivery: TypeAlias = Callable[[Any, Any, Any, bytes], object]
"""Called with channel, method, properties and body of a delivery, as by pika."""


class Consumer:
    """Consumes one queue over a connection of its own; all callbacks run on the connection's thread.

    When the broker cancels the consumer, since its queue was deleted or lost its node, the connection is
    closed and a new one declares and consumes the queue again.

    Args:
        url: of the broker.
        name: shown as the connection's name in the broker's tools.
        queue: to consume.
        on_delivery: called with each delivery; it must not block.
        declare: called with each new channel and with a function that it must call once the queue is there;
            None where the queue exists already.
        on_consuming: called with the channel once the broker delivers.
        on_lost: called with the exception when a channel is lost.
        on_failed: see `ManagedConnection`.
        prefetch: unacknowledged deliveries at most; None sets no limit.
        auto_ack: whether the broker counts a delivery as acknowledged.
        exclusive: whether this is the queue's only consumer.
        arguments: of the consumer; called for each channel.
        thread: see `ManagedConnection`.

    Attributes:
        connection: the connection; `mark_working` is the owner's to call.
        epoch: number of the current channel, which rises with each new and each lost one. A delivery tag is
            valid only in the epoch in which it was delivered.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        queue: str,
        on_delivery: OnDelivery,
        on_consuming: Callable[[Any], None],
        on_lost: Callable[[BaseException], None],
        on_failed: Callable[[bool], None] | None = None,
        declare: Callable[[Any, Callable[[], None]], None] | None = None,
        prefetch: int | None = None,
        auto_ack: bool = False,
        exclusive: bool = False,
        arguments: Callable[[], dict[str, Any]] | None = None,
        thread: AMQPThread | None = None,
    ) -> None:
        self._queue = queue
        self._on_delivery = on_delivery
        self._on_consuming = on_consuming
        self._on_lost = on_lost
        self._declare = declare
        self._prefetch = prefetch
        self._auto_ack = auto_ack
        self._exclusive = exclusive
        self._arguments = arguments
        self.epoch = 0
        self.connection = ManagedConnection(
            url, name, on_channel=self._opened, on_lost=self._lost, on_failed=on_failed, thread=thread
        )

    def _opened(self, channel: Any) -> None:
        self.epoch += 1
        channel.add_on_cancel_callback(lambda _: channel.connection.is_open and channel.connection.close())
        if self._prefetch is not None:
            channel.basic_qos(prefetch_count=self._prefetch)
        if self._declare is None:
            self._consume(channel)
        else:
            self._declare(channel, lambda: self._consume(channel))

    def _consume(self, channel: Any) -> None:
        channel.basic_consume(
            self._queue,
            self._on_delivery,
            auto_ack=self._auto_ack,
            exclusive=self._exclusive,
            arguments=None if self._arguments is None else self._arguments(),
            callback=lambda _frame: self._on_consuming(channel),
        )

    def _lost(self, reason: BaseException) -> None:
        self.epoch += 1
        self._on_lost(reason)
