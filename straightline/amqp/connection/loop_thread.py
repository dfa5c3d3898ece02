"""The thread that AMQP connections live on: one of its own for most, one for two that work hand in hand."""

import logging
import threading
from collections.abc import Callable
from typing import Any, Final, Protocol

from pika.adapters.select_connection import IOLoop

logger = logging.getLogger(__name__)


class LoopClient(Protocol):
    """What lives on the thread: `straightline.amqp.connection.connection.ManagedConnection`."""

    def abandon(self, error: BaseException) -> None:
        """Give up the connection, which a fault has left in an unknown state, and make a new one."""
        ...


class _Loop(IOLoop):
    """A loop of which no timer that raises takes others with it.

    Pika's takes all that are due out before it runs them, and forgets the rest when one raises.
    """

    def __init__(self, fault: Callable[[Exception], None]) -> None:
        super().__init__()
        self._fault = fault

    def call_later(self, delay: float, callback: Callable[[], None]) -> Any:
        """Run `callback` after so many seconds; what it raises is a fault, and the next one still runs."""

        def guarded() -> None:
            try:
                callback()
            except Exception as error:  # noqa: BLE001 - it is logged with its trace
                self._fault(error)

        return super().call_later(delay, guarded)


class AMQPThread:
    """Runs a loop until the last who lives on it has left.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self.loop: Final[IOLoop] = _Loop(self._fault)
        self._lodgers: list[LoopClient] = []
        self._thread = threading.Thread(target=self._run, name=f"amqp-{name}", daemon=True)

    def enter(self, lodger: LoopClient, first: Callable[[], None]) -> None:
        """Live here from now on; `first` is run on the thread, which is started where it does not run yet."""
        self._lodgers.append(lodger)
        self.loop.add_callback_threadsafe(first)
        if not self.started:
            self._thread.start()

    def leave(self, lodger: LoopClient) -> None:
        """Live here no more; only from the thread."""
        if lodger in self._lodgers:
            self._lodgers.remove(lodger)
        if not self._lodgers:
            self.loop.stop()

    @property
    def started(self) -> bool:
        """Whether it runs, or has run: else nobody answers what is called there."""
        return self._thread.ident is not None

    def join(self, timeout: float) -> None:
        """Wait until the last one has left; at once where others live here still, or on the thread itself."""
        if not self._lodgers and not self.current():
            self._thread.join(timeout)

    def current(self) -> bool:
        """Tell whether the caller runs on it."""
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
        """A fault of ours or of pika's must not leave callers waiting for a thread that is dead."""
        logger.error("the AMQP thread met an unexpected fault and connects anew", exc_info=error)
        for lodger in tuple(self._lodgers):
            lodger.abandon(error)
