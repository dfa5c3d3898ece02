"""Calls from other threads into an event loop; a burst of calls wakes the loop once."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class LoopBridge:
    """Runs calls of other threads in a loop, in order.

    `loop.call_soon_threadsafe` writes to a socket for every call, which costs more than a result.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._woken = False

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call `function` in the loop soon, from any thread; do nothing once the loop is closed."""
        self._due.append((function, arguments))
        if self._woken:
            return
        self._woken = True
        try:
            self._loop.call_soon_threadsafe(self._run)
        except RuntimeError:  # the loop is closed, so no caller waits
            self._due.clear()

    def settler(self, future: asyncio.Future[None]) -> Callable[[BaseException | None], None]:
        """Return a function that completes a future of the loop from any thread, with an error or None."""
        return lambda error: self.call(_settle, future, error)

    def setter(self, future: asyncio.Future[T]) -> Callable[[T], None]:
        """Return a function that sets the result of a future of the loop from any thread."""
        return lambda value: self.call(_set, future, value)

    def caller(
        self, function: Callable[[tuple[str, bytes | None]], object], label: str
    ) -> Callable[[bytes | None], None]:
        """Return a function that calls `function` in the loop with a label and a body, from any thread."""
        return lambda body: self.call(function, (label, body))

    def _run(self) -> None:
        self._woken = False  # before the calls: a call added later wakes the loop again
        for _ in range(len(self._due)):
            function, arguments = self._due.popleft()
            function(*arguments)


def _settle(future: asyncio.Future[None], error: BaseException | None) -> None:
    if future.done():  # cancelled by its caller
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _set(future: asyncio.Future[T], value: T) -> None:
    if not future.done():
        future.set_result(value)
