"""One connection with one channel, on a thread of its own or a shared one, made anew whenever it is lost."""

import logging
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import pika
from pika.adapters.utils.connection_workflow import AMQPConnectionWorkflowFailed, AMQPConnectorPhaseErrorBase
from pika.exceptions import (
    AMQPConnectionError,
    ConnectionClosed,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from straightline.amqp.connection import tls
from straightline.amqp.connection.address import FORM, read_address
from straightline.amqp.connection.auth_failures import AuthFailures
from straightline.amqp.connection.corked import CorkedConnection
from straightline.amqp.connection.loop_thread import AMQPThread
from straightline.errors import ConfigurationError
from straightline.support.backoff import Backoff

logger = logging.getLogger(__name__)

HEARTBEAT_S: Final = 8
"""Seconds. The broker notices a dead client after twice that, a client a dead broker after 26 seconds (pika
looks every `HEARTBEAT_S` + 5 seconds and wants two looks in vain)."""
MAX_RECONNECT_DELAY_S: Final = 5.0
RECONNECT_BACKOFF: Final = Backoff(0.1, MAX_RECONNECT_DELAY_S)


def parameters(url: str, name: str) -> pika.URLParameters:
    """Read an AMQP URL.

    Raises:
        ConfigurationError: it is not one (the message does not repeat it, since it may hold a password), or
            the files that it names cannot be used.
    """
    address = read_address(url)
    try:
        read = pika.URLParameters(address.url)
    except (ValueError, TypeError, IndexError):
        # The error behind it may name a part of a password.
        raise ConfigurationError(f"the broker's URL cannot be read: it must look like {FORM}") from None
    if address.tls is not None:
        read.ssl_options = tls.ssl_options(address.tls)
    read.client_properties = {"connection_name": name}
    if read.heartbeat is None:
        read.heartbeat = HEARTBEAT_S
    return read


class ManagedConnection:
    """Keeps a channel open for its owner, whose callbacks all run on the link's thread.

    Args:
        url: of the broker.
        name: shown as the connection's name in the broker's tools.
        on_channel: called with each new open channel.
        on_lost: called with the exception when a channel that `on_channel` was given is gone.
        thread: where it lives; None for a thread of its own. Who shares one hands nothing from thread to
            thread, which costs a tenth of a millisecond each time on a machine at rest.
        on_failed: called at each failure to connect, as long as there was no working channel, with whether
            waiting is no help, since the broker has refused the user or the password for so long
            (`straightline.amqp.connection.auth_failures.REFUSAL_TIMEOUT_S`); it is tried again all the same.
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
        self._on_failed = on_failed  # None once it has worked
        self._auth_failures = AuthFailures()
        self._told: str | None = None
        self._stopping = False
        self._thread = thread or AMQPThread(name)
        self._loop = self._thread.loop
        self._ended = threading.Event()
        self.trouble: str | None = "no connection was made yet"
        """Why there is no working channel, for people; None while there is one."""

    def start(self) -> None:
        """Start the thread, which connects at once."""
        self._thread.enter(self, self._connect)

    def call(self, callback: Callable[[], None]) -> None:
        """Run `callback` on the link's thread soon; may be called from any thread."""
        self._loop.add_callback_threadsafe(callback)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        """Run `callback` on the link's thread after a time; only from that thread."""
        self._loop.call_later(seconds, callback)

    def on_loop_thread(self) -> bool:
        """Tell whether the caller is one of the link's callbacks."""
        return self._thread.current()

    def mark_working(self) -> None:
        """Note that the channel is of use: the next loss is mended without delay."""
        if self._told is not None:
            # As loud as the loss was: who reads of one reads of its end.
            logger.warning("the AMQP connection works again")
            self._told = None
        self._failures = 0
        self._on_failed = None
        self.trouble = None

    def stop(self, timeout: float) -> None:
        """Close the connection and end the thread, where none else lives there, within `timeout` seconds."""
        if not self._thread.started:
            return
        self.call(self._stop)
        if not self.on_loop_thread():
            self._ended.wait(timeout)
            self._thread.join(timeout)

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
        if connection is not self._connection:  # given up while it was being made
            connection.close()
            return
        connection.channel(on_open_callback=self._channel_open)

    def _channel_open(self, channel: Any) -> None:
        if channel.connection is not self._connection:
            return
        channel.add_on_close_callback(self._channel_closed)
        self._on_channel(channel)

    def _blocked(self, _connection: Any, frame: Any) -> None:
        self.trouble = (
            f"the broker takes no messages now ({frame.method.reason}): look at its memory and disk"
        )
        self._told = self.trouble
        logger.warning("%s", self.trouble)

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
        self._failed(reason, time.monotonic())
        self._again()

    def _failed(self, reason: BaseException, now: float) -> None:
        if self._on_failed is not None:
            refused = isinstance(_innermost(reason), ProbableAuthenticationError)
            self._on_failed(self._auth_failures.record(now, refused=refused))

    def abandon(self, error: BaseException) -> None:
        """Give up the connection, which a fault has left in an unknown state, and make a new one."""
        connection, self._connection = self._connection, None
        self.trouble = describe(error)
        self._on_lost(error)
        self._failed(error, time.monotonic())
        if connection is not None:
            connection.give_up()
        if self._stopping:
            self.call(self._end)
        else:
            self._again()

    def _again(self) -> None:
        self._failures += 1
        seconds = RECONNECT_BACKOFF.delay(self._failures)
        # Another reason than before is news: what was lost by a restart may be refused since.
        news = self._failures == 1 or self.trouble != self._told
        self._told = self.trouble
        level = logging.WARNING if news else logging.DEBUG
        logger.log(level, "no AMQP connection: %s; trying again in %.1f s", self.trouble, seconds)
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


def describe(reason: BaseException) -> str:
    """Say in one line, without credentials, why a connection is not there."""
    reason = _innermost(reason)
    if isinstance(reason, ProbableAuthenticationError):
        return "the broker refused the user or the password: check the URL"
    if isinstance(reason, ProbableAccessDeniedError):
        return "the broker refused access to the virtual host: check the URL and the user's permissions"
    if isinstance(reason, ssl.SSLError):
        return tls.describe_error(reason)
    return f"{type(reason).__name__}: {reason}" if str(reason) else repr(reason)


def _innermost(reason: BaseException) -> BaseException:
    while (cause := _cause(reason)) is not None:
        reason = cause
    return reason


def _cause(reason: BaseException) -> BaseException | None:
    """Return what pika has wrapped, None where `reason` is the innermost."""
    if isinstance(reason, AMQPConnectionWorkflowFailed):
        return reason.exceptions[-1]
    if isinstance(reason, AMQPConnectorPhaseErrorBase):
        return reason.exception
    if isinstance(reason, AMQPConnectionError) and reason.args and isinstance(reason.args[0], Exception):
        return reason.args[0]
    return None
