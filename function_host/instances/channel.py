"""What passes between the thread that invokes an instance and the thread that its runtime talks to."""

import dataclasses
import queue
from concurrent.futures import Future, InvalidStateError
from typing import Any, Final, TypeVar

from straightline.errors import StraightLineError

T = TypeVar("T")

MAX_PAYLOAD_BYTES: Final = 6 * 1024 * 1024
"""Largest event and answer of a synchronous invocation in bytes, as on AWS."""


class InitFailed(StraightLineError):  # noqa: N818 - it reads as what happened
    """The runtime reported that the function cannot be initialised.

    Attributes:
        payload: the error as the runtime reported it, JSON.
    """

    def __init__(self, payload: bytes) -> None:
        super().__init__("the function could not be initialised")
        self.payload = payload


class InstanceGone(StraightLineError):  # noqa: N818
    """The instance's process ended.

    Attributes:
        status: how, in Lambda's words (`exit status 1`, `signal: killed`).
        out_of_memory: whether it was at its memory limit.
    """

    def __init__(self, status: str, *, out_of_memory: bool = False) -> None:
        super().__init__(f"the instance's process ended: {status}")
        self.status = status
        self.out_of_memory = out_of_memory


@dataclasses.dataclass(frozen=True)
class RuntimeResponse:
    """What the runtime posted.

    Attributes:
        payload: the handler's answer, or the error that it raised, JSON; empty where it was too large.
        failed: whether it is an error.
        too_large: whether it was above MAX_PAYLOAD.
    """

    payload: bytes
    failed: bool
    too_large: bool = False


@dataclasses.dataclass(frozen=True)
class Invocation:
    """An event on its way to the handler.

    Attributes:
        request_id: names it in both APIs.
        event: JSON.
        deadline_ms: when it times out, milliseconds since the epoch.
        arn: the function's.
        client_context: JSON of the invoker's, for the handler.
        answer: what comes of it.
    """

    request_id: str
    event: bytes
    deadline_ms: int
    arn: str
    client_context: str | None = None
    answer: Future[RuntimeResponse] = dataclasses.field(default_factory=Future)


class Channel:
    """One instance's: at most one invocation at a time goes through it."""

    def __init__(self) -> None:
        self.ready: Future[None] = Future()
        """Done when the runtime asks for its first invocation; raises InitFailed or InstanceGone."""
        self._waiting: queue.SimpleQueue[Invocation | None] = queue.SimpleQueue()
        self._current: Invocation | None = None
        self._handed: Invocation | None = None
        self._broken = False
        self._gone: InstanceGone | None = None

    def offer(self, invocation: Invocation) -> None:
        """Hand the runtime an invocation; its `answer` is resolved whatever happens to the instance."""
        self._current = invocation
        self._waiting.put(invocation)
        if self._gone is not None:
            _fail(invocation.answer, self._gone)

    def next(self) -> Invocation | None:
        """Wait for an invocation, as the runtime does; None when the instance is to end."""
        _resolve(self.ready, None)
        self._handed = self._waiting.get()
        return self._handed

    def mark_broken(self) -> None:
        """Note that the runtime ended with something unread of what was sent to it."""
        self._broken = True

    def was_read(self, invocation: Invocation) -> bool:
        """Whether the runtime has read an invocation; certain once the instance is gone."""
        return self._handed is invocation and not self._broken

    def answer(self, request_id: str, answer: RuntimeResponse) -> bool:
        """Take what the runtime posted; False where no such invocation is under way."""
        current = self._current
        if current is None or current.request_id != request_id:
            return False
        return _resolve(current.answer, answer)

    def init_failed(self, payload: bytes) -> None:
        """Take the runtime's report that it could not start."""
        _fail(self.ready, InitFailed(payload))

    def stop(self) -> None:
        """Release the runtime's side: the process has ended, or is being ended."""
        self._waiting.put(None)

    def close(self, reason: InstanceGone) -> None:
        """Release both sides."""
        self._gone = reason
        self.stop()
        _fail(self.ready, reason)
        if self._current is not None:
            _fail(self._current.answer, reason)


def _resolve(future: Future[T], value: T) -> bool:
    try:
        future.set_result(value)
    except InvalidStateError:
        return False
    return True


def _fail(future: Future[Any], error: Exception) -> None:
    try:
        future.set_exception(error)
    except InvalidStateError:
        return  # it had its end already; the first one counts
