"""The consuming connection, the leader lock, and the queues that the leader reads."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pika.exceptions import ChannelClosedByBroker

from scheduler.broker.ack_tracker import AckTracker
from straightline import names
from straightline.amqp.connection.connection import ManagedConnection
from straightline.amqp.connection.failures import describe
from straightline.amqp.connection.loop_thread import AMQPThread
from straightline.support.event_log import EventLogger

log = EventLogger(__name__)

RESOURCE_LOCKED: Final = 405
"""AMQP reply code for an exclusive queue of another connection."""
LOCK_POLL_INTERVAL_S: Final = 0.5
"""Seconds between the checks of a standby whether the leader is gone."""
READY_POLL_INTERVAL_S: Final = 0.05
"""Seconds between the checks whether this scheduler is ready to lead."""


@dataclass(frozen=True, slots=True)
class Handlers:
    """Callbacks of the consumer, all on the thread of its connection.

    Attributes:
        signal: (routing key, body) of a transient message, for leader and standby.
        message: (queue, method, properties, body) of a message that the leader reads.
        leading: this scheduler has become the leader.
        ready: whether this scheduler may become the leader now.
        lost: the connection is gone, and with it the lead and every unacknowledged delivery.
    """

    signal: Callable[[str, bytes], None]
    message: Callable[[str, Any, Any, bytes], None]
    leading: Callable[[], None]
    ready: Callable[[], bool]
    lost: Callable[[], None]


class LeaderConsumer:
    """Consumes as the leader, or waits as a standby.

    The leader holds an exclusive queue, which the broker releases when the connection ends, however that
    happens. The input queues also have a single active consumer, which fences an old leader that has not
    noticed its loss.

    Args:
        url: AMQP URL of the broker.
        prefetch: for each input queue, how many messages may be unacknowledged.
        handlers: callbacks.
        thread: thread of its connection; None for a new one.
    """

    def __init__(
        self, url: str, prefetch: dict[str, int], handlers: Handlers, thread: AMQPThread | None = None
    ) -> None:
        self._prefetch = prefetch
        self._handlers = handlers
        self._channel: Any = None  # the work channel, while leading
        self._logged_for: Any = None  # the connection for which it was logged that another scheduler leads
        self._acks = AckTracker()
        self.link = ManagedConnection(
            url,
            "straightline-scheduler-in",
            on_channel=self._opened,
            on_lost=self._lost,
            thread=thread,
        )

    @property
    def leading(self) -> bool:
        """Whether this scheduler is the leader."""
        return self._channel is not None

    def acknowledge(self, tags: list[int]) -> None:
        """Acknowledge deliveries of the current connection."""
        if self._channel is None or not self._channel.is_open:
            return
        prefix, single = self._acks.add(tags)
        with self._channel.connection.corked():
            if prefix is not None:
                self._channel.basic_ack(prefix, multiple=True)
            for tag in single:
                self._channel.basic_ack(tag)

    def cancel(self) -> None:
        """Stop consuming; delivered messages may still be acknowledged."""
        if self._channel is not None and self._channel.is_open:
            for tag in list(self._channel.consumer_tags):
                self._channel.basic_cancel(tag)

    def _opened(self, channel: Any) -> None:
        """Consume signals, so that a standby that takes over knows free slots and open breakers."""
        # The broker cancels consumers of a queue that was deleted or lost its node; reconnect then.
        channel.add_on_cancel_callback(lambda _: channel.connection.is_open and channel.connection.close())

        def declared(frame: Any) -> None:
            queue = frame.method.queue
            channel.queue_bind(queue, names.SIGNALS, names.HEARTBEAT_KEY)
            channel.queue_bind(queue, names.SIGNALS, names.FEEDBACK_KEY)
            channel.queue_bind(queue, names.SIGNALS, names.BREAKER_KEY)
            channel.basic_consume(queue, self._signal, auto_ack=True)
            self.link.mark_working()
            self._try_lock(channel.connection)

        channel.queue_declare("", exclusive=True, callback=declared)

    def _signal(self, _channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        self._handlers.signal(method.routing_key, body)

    def _try_lock(self, connection: Any) -> None:
        """Declare the leader queue; the broker closes the channel if another scheduler holds it."""
        if not connection.is_open:
            return
        if not self._handlers.ready():
            self.link.call_later(READY_POLL_INTERVAL_S, lambda: self._try_lock(connection))
            return

        def taken(_channel: Any, reason: BaseException) -> None:
            self._log_standby(connection, reason)
            self._await_end(connection)

        def opened(channel: Any) -> None:
            channel.add_on_close_callback(taken)
            channel.queue_declare(
                names.LEADER_QUEUE, exclusive=True, callback=lambda _: self._lead(connection)
            )

        connection.channel(on_open_callback=opened)

    def _log_standby(self, connection: Any, reason: BaseException) -> None:
        """Log once for each connection why this scheduler does not lead."""
        if self.leading or connection is self._logged_for or not connection.is_open:
            return
        self._logged_for = connection
        if isinstance(reason, ChannelClosedByBroker) and reason.reply_code == RESOURCE_LOCKED:
            log.info("scheduler_stands_by")
        else:
            log.warning("leadership_not_taken", error=describe(reason))

    def _await_end(self, connection: Any) -> None:
        """Wait until no consumer reads the requests: each refused declaration logs an error in the broker."""
        if not connection.is_open:
            return

        def look(channel: Any) -> None:
            if channel.is_open:
                channel.queue_declare(
                    names.INTERACTIVE_QUEUE, passive=True, callback=lambda frame: seen(channel, frame)
                )

        def seen(channel: Any, frame: Any) -> None:
            if frame.method.consumer_count > 0:
                self.link.call_later(LOCK_POLL_INTERVAL_S, lambda: look(channel))
            elif channel.is_open:
                channel.close()

        def opened(channel: Any) -> None:
            # The broker also closes the channel if the queue does not exist; the lock is tried later then,
            # too.
            channel.add_on_close_callback(
                lambda *_: self.link.call_later(LOCK_POLL_INTERVAL_S, lambda: self._try_lock(connection))
            )
            look(channel)

        connection.channel(on_open_callback=opened)

    def _lead(self, connection: Any) -> None:
        if not connection.is_open:
            return

        def opened(channel: Any) -> None:
            if not connection.is_open:
                return
            channel.add_on_close_callback(lambda *_: connection.is_open and connection.close())
            channel.add_on_cancel_callback(lambda _: connection.is_open and connection.close())
            self._channel = channel
            self._acks = AckTracker()
            self._handlers.leading()
            for queue, prefetch in self._prefetch.items():
                channel.basic_qos(prefetch_count=prefetch)
                channel.basic_consume(queue, self._reader(queue))

        connection.channel(on_open_callback=opened)

    def _reader(self, queue: str) -> Callable[[Any, Any, Any, bytes], None]:
        def read(channel: Any, method: Any, properties: Any, body: bytes) -> None:
            if channel is not self._channel:
                return  # from an abandoned connection; its tags are not valid on the current one
            self._handlers.message(queue, method, properties, body)

        return read

    def _lost(self, _reason: BaseException) -> None:
        self._channel = None
        self._handlers.lost()
