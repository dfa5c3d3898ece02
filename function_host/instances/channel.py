"""Channel between the thread that invokes an instance and the thread that serves its runtime."""

import dataclasses
import queue
from concurrent.futures import Future, InvalidStateError
from typing import Any, Final, TypeVar

from straightline.errors import StraightLineError

T = TypeVar("T")

MAX_PAYLOAD_BYTES: Final = 6 * 1024 * 1024
"""AWS's limit of an event and of a response."""


class InitFailed(StraightLineError):  # noqa: N818 - names what happened
    """The initialisation of the function failed.

    Attributes:
        payload: the runtime's error report, JSON.
    """

    def __init__(self, payload: bytes) -> None:
        super().__init__("the initialisation of the function failed")
        self.payload = payload


class InstanceGone(StraightLineError):  # noqa: N818
    """The process of the instance ended.

    Attributes:
        status: Lambda's name of the cause, such as `exit status 1` or `signal: killed`.
        out_of_memory: whether it was at its memory limit.
    """

    def __init__(self, status: str, *, out_of_memory: bool = False) -> None:
        super().__init__(f"the process of the instance ended: {status}")
        self.status = status
        self.out_of_memory = out_of_memory


@dataclasses.dataclass(frozen=True)
class RuntimeResponse:
    """A response of the runtime.

    Attributes:
        payload: result or error of the handler, JSON; empty if too large.
        failed: whether it is an error.
        too_large: whether it exceeded MAX_PAYLOAD_BYTES.
    """

    payload: bytes
    failed: bool
    too_large: bool = False


@dataclasses.dataclass(frozen=True)
class Invocation:
    """An invocation of an instance.

    Attributes:
        request_id: id in both APIs.
        event: the event, JSON.
        deadline_ms: time limit, milliseconds since the epoch.
        arn: ARN of the function.
        client_context: the caller's client context, JSON.
        response: resolved with the response, or with `InstanceGone`.
    """

    request_id: str
    event: bytes
    deadline_ms: int
    arn: str
    client_context: str | None = None
    response: Future[RuntimeResponse] = dataclasses.field(default_factory=Future)


class Channel:
    """The channel of one instance, for one invocation at a time."""

    def __init__(self) -> None:
        self.ready: Future[None] = Future()
        """Done when the runtime requests its first invocation; raises InitFailed or InstanceGone."""
        self._waiting: queue.SimpleQueue[Invocation | None] = queue.SimpleQueue()
        self._current: Invocation | None = None
        self._handed: Invocation | None = None
        self._broken = False
        self._gone: InstanceGone | None = None

    def offer(self, invocation: Invocation) -> None:
        """Queue an invocation for the runtime; its `response` is resolved even if the instance ends."""
        self._current = invocation
        self._waiting.put(invocation)
        if self._gone is not None:
            _fail(invocation.response, self._gone)

    def next(self) -> Invocation | None:
        """Wait for the next invocation; None when the instance must end."""
        _resolve(self.ready, None)
        self._handed = self._waiting.get()
        return self._handed

    def mark_broken(self) -> None:
        """Record that the runtime closed its connection with unread data."""
        self._broken = True

    def was_read(self, invocation: Invocation) -> bool:
        """Return whether the runtime has read an invocation; certain only after the instance ended."""
        return self._handed is invocation and not self._broken

    def respond(self, request_id: str, response: RuntimeResponse) -> bool:
        """Resolve the running invocation; False if `request_id` is another one."""
        current = self._current
        if current is None or current.request_id != request_id:
            return False
        return _resolve(current.response, response)

    def init_failed(self, payload: bytes) -> None:
        """Report that the initialisation failed."""
        _fail(self.ready, InitFailed(payload))

    def stop(self) -> None:
        """Release the thread of the runtime; the process has ended or is ending."""
        self._waiting.put(None)

    def close(self, reason: InstanceGone) -> None:
        """Release both threads."""
        self._gone = reason
        self.stop()
        _fail(self.ready, reason)
        if self._current is not None:
            _fail(self._current.response, reason)


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
        return  # already resolved; the first result counts
