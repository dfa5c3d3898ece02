"""A connection with one channel that reconnects by itself."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from pika.exceptions import ConnectionClosed

from straightline.amqp.connection.corked import CorkedConnection
from straightline.amqp.connection.failures import AuthFailures, describe
from straightline.amqp.connection.loop_thread import AMQPThread
from straightline.amqp.connection.parameters import parameters
from straightline.support.backoff import Backoff
from straightline.support.event_log import EventLogger

logger = EventLogger(__name__)

MAX_RECONNECT_DELAY_S: Final = 5.0
RECONNECT_BACKOFF: Final = Backoff(0.1, MAX_RECONNECT_DELAY_S)


class ManagedConnection:
    """Keeps one channel open for its owner and calls the owner on the connection's thread.

    Args:
        url: of the broker.
        name: shown as the connection's name in the broker's tools.
        on_channel: called with each new open channel.
        on_lost: called with the exception when a channel passed to `on_channel` is lost.
        thread: the thread that runs it; None starts one. Connections that work together should share one: a
            hand-over between threads costs 0.1 ms on an idle machine.
        on_failed: called at each failure to connect until the first channel works, with whether retrying has
            become pointless (see `straightline.amqp.connection.failures.AuthFailures`). The connection keeps
            retrying in either case.

    Attributes:
        trouble: why there is no working channel, for people; None while there is one.
    """

    def __init__(
        self,
        url: str,
        name: str,
        *,
        on_channel: Callable[[Any], None],
        on_lost: Callable[[BaseException], None],
        thread: AMQPThread | None = None,
        on_failed: Callable[[bool], None] | None = None,
    ) -> None:
        self._parameters = parameters(url, name)
        self._on_channel = on_channel
        self._on_lost = on_lost
        self._connection: Any = None
        self._failures = 0
        self._on_failed = on_failed  # None once a channel has worked
        self._auth_failures = AuthFailures()
        self._logged: str | None = None
        self._stopping = False
        self._thread = thread or AMQPThread(name)
        self._loop = self._thread.loop
        self._ended = threading.Event()
        self.trouble: str | None = "not connected yet"

    def start(self) -> None:
        """Connect, on the thread, which is started if needed."""
        self._thread.enter(self, self._connect)

    def call(self, callback: Callable[[], None]) -> None:
        """Run `callback` on the connection's thread soon; callable from any thread."""
        self._loop.add_callback_threadsafe(callback)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        """Run `callback` on the connection's thread after a delay; callable from that thread only."""
        self._loop.call_later(seconds, callback)

    def on_loop_thread(self) -> bool:
        """Return whether the caller runs on the connection's thread."""
        return self._thread.current()

    def mark_working(self) -> None:
        """Record that the channel is usable: the next loss is followed by an immediate reconnect."""
        if self._logged is not None:
            # At the level of the loss, so that a log that shows one shows the other.
            logger.warning("amqp_connected_again")
            self._logged = None
        self._failures = 0
        self._on_failed = None
        self.trouble = None

    def stop(self, timeout: float) -> None:
        """Close the connection, and end the thread if nothing else uses it, within `timeout` seconds."""
        if not self._thread.started:
            return
        self.call(self._stop)
        if not self.on_loop_thread():
            self._ended.wait(timeout)
            self._thread.join(timeout)

    def abandon(self, error: BaseException) -> None:
        """Drop the connection, whose state is unknown after a fault, and make a new one."""
        connection, self._connection = self._connection, None
        self.trouble = describe(error)
        self._on_lost(error)
        self._report_failure(error)
        if connection is not None:
            connection.give_up()
        if self._stopping:
            self.call(self._end)
        else:
            self._reconnect_later()

    def _connect(self) -> None:
        if self._stopping:
            return
        self._connection = CorkedConnection(
            self._parameters,
            on_open_callback=self._opened,
            on_open_error_callback=self._closed,
            on_close_callback=self._closed,
            custom_ioloop=self._loop,
        )
        self._connection.add_on_connection_blocked_callback(self._blocked)
        self._connection.add_on_connection_unblocked_callback(lambda *_: self.mark_working())

    def _opened(self, connection: Any) -> None:
        if connection is not self._connection:  # abandoned while it was being opened
            connection.close()
            return
        connection.channel(on_open_callback=self._channel_open)

    def _channel_open(self, channel: Any) -> None:
        if channel.connection is not self._connection:
            return
        channel.add_on_close_callback(self._channel_closed)
        self._on_channel(channel)

    def _blocked(self, _connection: Any, frame: Any) -> None:
        self.trouble = f"the broker blocks publishers ({frame.method.reason}): check its memory and disk"
        self._logged = self.trouble
        logger.warning("amqp_publishing_blocked", reason=self.trouble)

    def _channel_closed(self, channel: Any, reason: BaseException) -> None:
        if channel.connection is not self._connection:
            return
        self.trouble = describe(reason)
        self._on_lost(reason)
        if channel.connection.is_open:
            channel.connection.close()

    def _closed(self, connection: Any, reason: BaseException) -> None:
        if connection is not self._connection:
            return
        self._connection = None
        if self._stopping:
            self._end()
            return
        if not (isinstance(reason, ConnectionClosed) and reason.reply_code == 200):
            self.trouble = describe(reason)
        self._report_failure(reason)
        self._reconnect_later()

    def _report_failure(self, reason: BaseException) -> None:
        if self._on_failed is not None:
            self._on_failed(self._auth_failures.record(reason, time.monotonic()))

    def _reconnect_later(self) -> None:
        # A new reason is news: a broker lost by a restart may refuse the user since.
        self._failures += 1
        news = self._failures == 1 or self.trouble != self._logged
        seconds = RECONNECT_BACKOFF.delay(self._failures)
        self._logged = self.trouble
        level = logging.WARNING if news else logging.DEBUG
        logger.log(level, "amqp_not_connected", error=self.trouble, retry_in_s=round(seconds, 1))
        self._loop.call_later(seconds, self._connect)

    def _stop(self) -> None:
        self._stopping = True
        if self._connection is None:
            self._end()
        elif self._connection.is_open:
            self._connection.close()
        elif not self._connection.is_closing:
            self._connection = None
            self._end()

    def _end(self) -> None:
        self._thread.leave(self)
        self._ended.set()
