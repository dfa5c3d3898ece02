"""Confirmed publishing from any thread, over a connection that is made anew when it is lost."""

import logging
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

logger = logging.getLogger(__name__)

PUBLISH_BATCH_SIZE: Final = 512
"""Messages written before the thread looks at the broker's answers again."""
MAX_UNCONFIRMED_BYTES: Final = 64 * 1024 * 1024


OnSettled = Callable[[Exception | None], object]
"""Called once with what became of a message: None when the broker has it safe, else `Unroutable` (no queue
takes it), `Rejected` (refused by the broker) or `BrokerUnavailable` (not confirmed in time; it may or may not
have arrived)."""


class _Pending:
    __slots__ = ("message", "settled")

    def __init__(self, message: Outgoing, settled: OnSettled) -> None:
        self.message = message
        self.settled = settled


class _Confirm(Future[None]):
    """A future that a message's fate is put into."""

    def __init__(self) -> None:
        super().__init__()
        self.set_running_or_notify_cancel()  # what is on its way cannot be called back

    def settle(self, error: Exception | None) -> None:
        if error is None:
            self.set_result(None)
        else:
            self.set_exception(error)


class Publisher:
    """Publishes messages and tells when the broker has them safe.

    Thread-safe. Delivery is at least once and, per publishing thread, in order: what was unconfirmed when a
    connection was lost is published again on the next one, in order, and may arrive twice. Make it in the
    process that uses it (threads do not survive a fork).

    Args:
        url: of the broker.
        name: shown as the connection's name in the broker's tools.
        confirm_timeout: seconds from `publish` until a message counts as not confirmed.
        window: messages that may be unconfirmed at once.
        window_bytes: bytes of bodies that may be unconfirmed at once.
        max_body: largest body in bytes.
        thread: where its connection lives; None for a thread of its own.
        gives_up: whether messages fail where the broker has refused the user or the password for seconds and
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
        self._outbox: ConfirmTracker[_Pending] = ConfirmTracker()
        self._channel: Any = None
        # Who waits for room is woken when a quarter of the window is free, not for every message.
        self._low_messages = window * 3 // 4
        self._low_bytes = window_bytes * 3 // 4
        self._state = threading.Condition()  # guards the six below
        self._waiters = 0
        self._callers: list[Callable[[], None]] = []
        self._messages = 0
        self._bytes = 0
        self._woken = False
        self._closed = False
        self._link = ManagedConnection(
            url,
            name,
            on_channel=self._setup,
            on_lost=self._lost,
            thread=thread,
            on_failed=self._failed if gives_up else None,
        )
        self._link.start()
        self._link.call(self._sweep)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def trouble(self) -> str | None:
        """Why the broker takes nothing now, for people; None where it does."""
        return self._link.trouble

    def publish(self, message: Outgoing) -> Future[None]:
        """Send a message on its way; blocks while the window is full, for `confirm_timeout` at most.

        Returns:
            A future that is done once the broker has the message safe, and else raises one of the errors that
            `OnSettled` names, or `Rejected` where it was never sent since it is too large. Callbacks of the
            future run on the publisher's thread and must not block; publishing from them never blocks.
        """
        confirm = _Confirm()
        try:
            self.send(message, confirm.settle)
        except StraightLineError as error:
            confirm.settle(error)
        return confirm

    def send(self, message: Outgoing, settled: OnSettled) -> None:
        """Do as `publish` does and call `settled`, on the publisher's thread, where a future costs too much.

        Raises:
            Rejected: it cannot be sent; `settled` will not be called.
            BrokerUnavailable: no room came free in time, or the publisher is closed; likewise.
        """
        self._check(message)
        self._admit(_Pending(message, settled), patient=not self._link.on_loop_thread())

    def send_if_room(self, message: Outgoing, settled: OnSettled) -> bool:
        """Do as `send` does where that needs no waiting, and return whether it was done.

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
        """Call `call` once when a part of the window is free: now, or later on the publisher's thread."""
        with self._state:
            if not self._closed and (self._messages > self._low_messages or self._bytes > self._low_bytes):
                self._callers.append(call)
                return
        call()

    def no_room(self) -> BrokerUnavailable:
        """Return the error that says that no part of the window came free in time, and why."""
        return self._unavailable("no room for another message came free")

    def close(self, timeout: float = 10.0) -> None:
        """Wait for outstanding confirms, `timeout` seconds at most, then close; the rest fail."""
        deadline = time.monotonic() + timeout
        with self._state:
            first, self._closed = not self._closed, True
            self._state.notify_all()
            if not self._link.on_loop_thread():
                self._wait(lambda: self._messages == 0, timeout)
        if first:
            self._link.call(self._fail_rest)
            self._link.stop(max(1.0, deadline - time.monotonic()))

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
            self._outbox.put(pending, time.monotonic() + self._confirm_timeout)
            wake, self._woken = not self._woken, True
        if wake:
            self._link.call(self._drain)

    def _wait(self, for_what: Callable[[], bool], timeout: float) -> None:
        self._waiters += 1
        self._state.wait_for(for_what, timeout)
        self._waiters -= 1

    def _room(self, size: int) -> bool:
        if self._messages == 0:
            return True
        return self._messages < self._window and self._bytes + size <= self._window_bytes

    def _unavailable(self, what: str) -> BrokerUnavailable:
        why = self._link.trouble or "the broker is connected but did not answer"
        return BrokerUnavailable(
            f"{what} within {self._confirm_timeout:g} s ({why}); the message may be sent again"
        )

    # All below runs on the link's thread.

    def _setup(self, channel: Any) -> None:
        channel.add_on_return_callback(self._returned)

        def ready(_frame: Any) -> None:
            self._channel = channel
            self._link.mark_working()
            self._drain()

        channel.confirm_delivery(lambda frame: self._answered(channel, frame), callback=ready)

    def _drain(self) -> None:
        with self._state:
            self._woken = False
        if self._channel is None:
            return
        with self._channel.connection.corked():
            for _ in range(PUBLISH_BATCH_SIZE):
                taken = self._outbox.take()
                if taken is None or not self._write(*taken):
                    return
        with self._state:
            self._woken = True
        self._link.call(self._drain)

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
        except Exception as error:  # noqa: BLE001 - pika raises whatever the message makes it stumble over
            self._outbox.untake(tag)
            self._finish([(pending, Rejected(f"the message cannot be encoded for AMQP: {error!r}"))])
        return True

    def _returned(self, channel: Any, method: Any, properties: Any, _body: bytes) -> None:
        if channel is self._channel:
            serial = (properties.headers or {}).get(SERIAL_HEADER, 0)
            self._outbox.returned(serial, method.reply_text)

    def _answered(self, channel: Any, frame: Any) -> None:
        if channel is not self._channel:
            return
        method = frame.method
        accepted = isinstance(method, Basic.Ack)
        settled = self._outbox.settle(method.delivery_tag, multiple=method.multiple)
        self._finish([(pending, _verdict(pending.message, accepted, why)) for pending, why in settled])

    def _lost(self, reason: BaseException) -> None:
        self._channel = None
        if isinstance(reason, ChannelClosedByBroker):
            guilty = errors_by_tag(
                reason.reply_code,
                reason.reply_text,
                {tag: pending.message for tag, pending in self._outbox.out()},
            )
            for tag, error in guilty.items():
                self._finish([(pending, error) for pending, _ in self._outbox.settle(tag, multiple=False)])
        self._outbox.disconnected()

    def _sweep(self) -> None:
        self._link.call_later(min(0.25, self._confirm_timeout / 4), self._sweep)
        expired = self._outbox.expire(time.monotonic())
        if expired:
            what = "the broker did not confirm the message"
            self._finish([(pending, self._unavailable(what)) for pending in expired])

    def _failed(self, hopeless: bool) -> None:
        if not hopeless:
            return
        error = BrokerUnavailable(f"the message was not sent: {self._link.trouble}")
        self._finish([(pending, error) for pending in self._outbox.clear()])

    def _fail_rest(self) -> None:
        what = "the publisher was closed before the broker confirmed the message"
        self._finish([(pending, BrokerUnavailable(what)) for pending in self._outbox.clear()])

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
        """Wake who waits for room, where there is some, and return who is to be called."""
        if self._messages > self._low_messages or self._bytes > self._low_bytes:
            return []
        if self._waiters:
            self._state.notify_all()
        calls, self._callers = self._callers, []
        return calls


def _verdict(message: Outgoing, accepted: bool, returned: str | None) -> Exception | None:
    where = f"exchange {message.exchange!r} with key {message.routing_key!r}"
    if returned is not None:
        return Unroutable(
            f"no queue takes messages of {where} ({returned}): put the topology on the broker, "
            "`python -m broker_config`"
        )
    if not accepted:
        return Rejected(f"the broker refused the message to {where}: a queue there is full or failing")
    return None
