"""Confirmed publishing from any thread, over a connection that reconnects by itself."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Final, Self

from pika.exceptions import AMQPError, ChannelClosedByBroker
from pika.spec import Basic

from straightline.amqp.connection.connection import ManagedConnection
from straightline.amqp.connection.loop_thread import AMQPThread
from straightline.amqp.publishing.channel_errors import errors_by_tag
from straightline.amqp.publishing.confirm_tracker import ConfirmTracker
from straightline.amqp.publishing.outgoing import SERIAL_HEADER, Outgoing, invalid_reason
from straightline.contracts.request import MAX_BODY_BYTES
from straightline.errors import BrokerUnavailable, Rejected, StraightLineError, Unroutable

PUBLISH_BATCH_SIZE: Final = 512
"""Messages written before the thread reads the broker's confirms again."""
MAX_UNCONFIRMED_BYTES: Final = 64 * 1024 * 1024


OnSettled = Callable[[Exception | None], object]
"""Called once per message: with None when the broker has confirmed it, otherwise with `Unroutable` (no queue
takes it), `Rejected` (refused by the broker) or `BrokerUnavailable` (not confirmed in time; it may or may not
have arrived)."""


class _Pending:
    __slots__ = ("message", "settled")

    def __init__(self, message: Outgoing, settled: OnSettled) -> None:
        self.message = message
        self.settled = settled


class _Confirm(Future[None]):
    """The future of one message."""

    def __init__(self) -> None:
        super().__init__()
        self.set_running_or_notify_cancel()  # a message in flight cannot be cancelled

    def settle(self, error: Exception | None) -> None:
        if error is None:
            self.set_result(None)
        else:
            self.set_exception(error)


class Publisher:
    """Publishes messages and reports when the broker has confirmed them.

    Thread-safe. Delivery is at least once and, per publishing thread, in order: messages unconfirmed when a
    connection is lost are published again on the next one, in order, and may arrive twice. Create it in the
    process that uses it: threads do not survive a fork.

    Args:
        url: of the broker.
        name: shown as the connection's name in the broker's tools.
        confirm_timeout: seconds from `publish` until a message fails as unconfirmed.
        window: unconfirmed messages at most.
        window_bytes: bytes of unconfirmed bodies at most.
        max_body: bytes of one body at most.
        thread: the thread that runs the connection; None starts one.
        gives_up: whether messages fail once the broker has refused the user or the password for seconds and
            there was no connection yet.

    Raises:
        ConfigurationError: `url` is not an AMQP URL.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        confirm_timeout: float = 30.0,
        window: int = 4096,
        window_bytes: int = MAX_UNCONFIRMED_BYTES,
        max_body: int = MAX_BODY_BYTES,
        thread: AMQPThread | None = None,
        gives_up: bool = False,
    ) -> None:
        self._confirm_timeout = confirm_timeout
        self._window = window
        self._window_bytes = window_bytes
        self._max_body = max_body
        self._tracker: ConfirmTracker[_Pending] = ConfirmTracker()
        self._channel: Any = None
        # Waiting callers are woken when a quarter of the window is free, not for every message.
        self._low_messages = window * 3 // 4
        self._low_bytes = window_bytes * 3 // 4
        self._state = threading.Condition()  # guards the six below
        self._waiters = 0
        self._callers: list[Callable[[], None]] = []
        self._messages = 0
        self._bytes = 0
        self._woken = False
        self._closed = False
        self._connection = ManagedConnection(
            url,
            name,
            on_channel=self._setup,
            on_lost=self._lost,
            thread=thread,
            on_failed=self._failed if gives_up else None,
        )
        self._connection.start()
        self._connection.call(self._sweep)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def trouble(self) -> str | None:
        """Why the broker accepts nothing now, for people; None where it does."""
        return self._connection.trouble

    def publish(self, message: Outgoing) -> Future[None]:
        """Publish a message; block while the window is full, `confirm_timeout` at most.

        Returns:
            A future that is done once the broker has confirmed the message, and otherwise raises one of the
            errors of `OnSettled`, or `Rejected` for a message that is too large to be sent. Its callbacks run
            on the publisher's thread and must not block; publishing from them never blocks.
        """
        confirm = _Confirm()
        try:
            self.send(message, confirm.settle)
        except StraightLineError as error:
            confirm.settle(error)
        return confirm

    def send(self, message: Outgoing, settled: OnSettled) -> None:
        """Publish like `publish`, without a future: `settled` is called on the publisher's thread.

        Raises:
            Rejected: the message is invalid; `settled` is not called.
            BrokerUnavailable: the window stayed full, or the publisher is closed; `settled` is not called.
        """
        self._check(message)
        self._admit(_Pending(message, settled), patient=not self._connection.on_loop_thread())

    def send_if_room(self, message: Outgoing, settled: OnSettled) -> bool:
        """Publish like `send` if the window has room; return whether it had.

        Raises:
            Rejected, BrokerUnavailable: as `send`.
        """
        self._check(message)
        with self._state:
            if not self._closed and not self._room(len(message.body)):
                return False
        self._admit(_Pending(message, settled), patient=False)
        return True

    def when_room(self, call: Callable[[], None]) -> None:
        """Call `call` once a quarter of the window is free: now, or later on the publisher's thread."""
        with self._state:
            if not self._closed and (self._messages > self._low_messages or self._bytes > self._low_bytes):
                self._callers.append(call)
                return
        call()

    def no_room(self) -> BrokerUnavailable:
        """Return the error for a window that stayed full."""
        return self._unavailable("the window of unconfirmed messages stayed full")

    def close(self, timeout: float = 10.0) -> None:
        """Wait for outstanding confirms, `timeout` seconds at most, then close; unconfirmed messages fail."""
        deadline = time.monotonic() + timeout
        with self._state:
            first, self._closed = not self._closed, True
            self._state.notify_all()
            if not self._connection.on_loop_thread():
                self._wait(lambda: self._messages == 0, timeout)
        if first:
            self._connection.call(self._fail_rest)
            self._connection.stop(max(1.0, deadline - time.monotonic()))

    def _check(self, message: Outgoing) -> None:
        problem = invalid_reason(message, self._max_body)
        if problem is not None:
            raise Rejected(problem)

    def _admit(self, pending: _Pending, *, patient: bool) -> None:
        size = len(pending.message.body)
        with self._state:
            if patient and not self._room(size):
                self._wait(lambda: self._closed or self._room(size), self._confirm_timeout)
                if not self._closed and not self._room(size):
                    raise self.no_room()
            if self._closed:
                raise BrokerUnavailable("the publisher is closed: make a new one")
            self._messages += 1
            self._bytes += size
            self._tracker.put(pending, time.monotonic() + self._confirm_timeout)
            wake, self._woken = not self._woken, True
        if wake:
            self._connection.call(self._drain)

    def _wait(self, for_what: Callable[[], bool], timeout: float) -> None:
        self._waiters += 1
        self._state.wait_for(for_what, timeout)
        self._waiters -= 1

    def _room(self, size: int) -> bool:
        if self._messages == 0:
            return True
        return self._messages < self._window and self._bytes + size <= self._window_bytes

    def _unavailable(self, what: str) -> BrokerUnavailable:
        why = self._connection.trouble or "the broker is connected but does not answer"
        return BrokerUnavailable(
            f"{what} within {self._confirm_timeout:g} s: {why}. Send it again with the same id"
        )

    # All below runs on the connection's thread.

    def _setup(self, channel: Any) -> None:
        channel.add_on_return_callback(self._returned)

        def ready(_frame: Any) -> None:
            self._channel = channel
            self._connection.mark_working()
            self._drain()

        channel.confirm_delivery(lambda frame: self._answered(channel, frame), callback=ready)

    def _drain(self) -> None:
        with self._state:
            self._woken = False
        if self._channel is None:
            return
        with self._channel.connection.corked():
            for _ in range(PUBLISH_BATCH_SIZE):
                taken = self._tracker.take()
                if taken is None or not self._write(*taken):
                    return
        with self._state:
            self._woken = True
        self._connection.call(self._drain)

    def _write(self, tag: int, pending: _Pending) -> bool:
        message = pending.message
        try:
            self._channel.basic_publish(
                message.exchange,
                message.routing_key,
                message.body,
                message.properties(tag),
                message.mandatory,
            )
        except AMQPError:
            return False  # the channel is closing: `_lost` comes and puts it back
        except Exception as error:  # noqa: BLE001 - pika raises many kinds here
            self._tracker.untake(tag)
            self._finish([(pending, Rejected(f"the message cannot be encoded for AMQP: {error!r}"))])
        return True

    def _returned(self, channel: Any, method: Any, properties: Any, _body: bytes) -> None:
        if channel is self._channel:
            serial = (properties.headers or {}).get(SERIAL_HEADER, 0)
            self._tracker.returned(serial, method.reply_text)

    def _answered(self, channel: Any, frame: Any) -> None:
        if channel is not self._channel:
            return
        method = frame.method
        accepted = isinstance(method, Basic.Ack)
        settled = self._tracker.settle(method.delivery_tag, multiple=method.multiple)
        self._finish([(pending, _result(pending.message, accepted, why)) for pending, why in settled])

    def _lost(self, reason: BaseException) -> None:
        self._channel = None
        if isinstance(reason, ChannelClosedByBroker):
            errors = errors_by_tag(
                reason.reply_code,
                reason.reply_text,
                {tag: pending.message for tag, pending in self._tracker.out()},
            )
            for tag, error in errors.items():
                self._finish([(pending, error) for pending, _ in self._tracker.settle(tag, multiple=False)])
        self._tracker.disconnected()

    def _sweep(self) -> None:
        self._connection.call_later(min(0.25, self._confirm_timeout / 4), self._sweep)
        expired = self._tracker.expire(time.monotonic())
        if expired:
            what = "the broker did not confirm the message"
            self._finish([(pending, self._unavailable(what)) for pending in expired])

    def _failed(self, hopeless: bool) -> None:
        if not hopeless:
            return
        error = BrokerUnavailable(f"the message was not sent: {self._connection.trouble}")
        self._finish([(pending, error) for pending in self._tracker.clear()])

    def _fail_rest(self) -> None:
        what = "the publisher was closed before the broker confirmed the message"
        self._finish([(pending, BrokerUnavailable(what)) for pending in self._tracker.clear()])

    def _finish(self, settled: list[tuple[_Pending, Exception | None]]) -> None:
        if not settled:
            return
        with self._state:
            self._messages -= len(settled)
            self._bytes -= sum([len(pending.message.body) for pending, _ in settled])
            calls = self._make_room()
        for pending, error in settled:
            pending.settled(error)
        for call in calls:
            call()

    def _make_room(self) -> list[Callable[[], None]]:
        """Wake waiting callers if a quarter of the window is free; return the functions to call."""
        if self._messages > self._low_messages or self._bytes > self._low_bytes:
            return []
        if self._waiters:
            self._state.notify_all()
        calls, self._callers = self._callers, []
        return calls


def _result(message: Outgoing, accepted: bool, returned: str | None) -> Exception | None:
    where = f"exchange {message.exchange!r} with key {message.routing_key!r}"
    if returned is not None:
        return Unroutable(
            f"no queue is bound to {where} ({returned}): create the topology with `python -m broker_config`"
        )
    if not accepted:
        return Rejected(
            f"the broker refused the message to {where}: a queue is full or unavailable. Try again later"
        )
    return None
