"""The thread that runs AMQP connections: one each for most, a shared one for two that work together."""

import threading
from collections.abc import Callable
from typing import Any, Final, Protocol

from pika.adapters.select_connection import IOLoop

from straightline.support.event_log import EventLogger

logger = EventLogger(__name__)


class LoopClient(Protocol):
    """A user of the thread: `straightline.amqp.connection.connection.ManagedConnection`."""

    def abandon(self, error: BaseException) -> None:
        """Drop the connection, whose state is unknown after a fault, and make a new one."""
        ...


class _Loop(IOLoop):
    """A loop that survives a timer that raises.

    pika's own removes all due timers before it runs them, and drops the rest when one raises.
    """

    def __init__(self, fault: Callable[[Exception], None]) -> None:
        super().__init__()
        self._fault = fault

    def call_later(self, delay: float, callback: Callable[[], None]) -> Any:
        """Run `callback` after `delay` seconds; an exception is reported and the next timer still runs."""

        def guarded() -> None:
            try:
                callback()
            except Exception as error:  # noqa: BLE001 - it is logged with its trace
                self._fault(error)

        return super().call_later(delay, guarded)


class AMQPThread:
    """Runs a loop until its last client has left.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self.loop: Final[IOLoop] = _Loop(self._fault)
        self._clients: list[LoopClient] = []
        self._thread = threading.Thread(target=self._run, name=f"amqp-{name}", daemon=True)

    def enter(self, client: LoopClient, first: Callable[[], None]) -> None:
        """Add a client and run `first` on the thread, which is started if needed."""
        self._clients.append(client)
        self.loop.add_callback_threadsafe(first)
        if not self.started:
            self._thread.start()

    def leave(self, client: LoopClient) -> None:
        """Remove a client; callable from the thread only."""
        if client in self._clients:
            self._clients.remove(client)
        if not self._clients:
            self.loop.stop()

    @property
    def started(self) -> bool:
        """Whether the thread was started; without it no callback ever runs."""
        return self._thread.ident is not None

    def join(self, timeout: float) -> None:
        """Wait until the thread ends; return at once if it has other clients, or on the thread itself."""
        if not self._clients and not self.current():
            self._thread.join(timeout)

    def current(self) -> bool:
        """Return whether the caller runs on this thread."""
        return threading.get_ident() == self._thread.ident

    def _run(self) -> None:
        while True:
            try:
                self.loop.start()
            except Exception as error:  # noqa: BLE001 - it is logged with its trace
                self._fault(error)
            else:
                break
        self.loop.close()

    def _fault(self, error: Exception) -> None:
        """Reconnect all clients after an unexpected exception, so that no caller waits for a dead thread."""
        logger.error("amqp_thread_failed", raised=error)
        for client in tuple(self._clients):
            client.abandon(error)
