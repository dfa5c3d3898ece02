"""One invocation of one instance, from the event to Lambda's answer."""

import dataclasses
import time
from typing import Any, Final

import msgspec

from modelkit.functions import report
from modelkit.functions.channel import InitFailed, InstanceGone, Invocation
from modelkit.functions.instance import Instance

MAX_PAYLOAD: Final = 6 * 1024 * 1024
"""Largest event and answer of a synchronous invocation in bytes, as on AWS."""


@dataclasses.dataclass(frozen=True)
class Event:
    """What a function is invoked with.

    Attributes:
        request_id: names the invocation.
        payload: JSON.
        client_context: JSON of the invoker's.
    """

    request_id: str
    payload: bytes
    client_context: str | None = None


@dataclasses.dataclass(frozen=True)
class Answer:
    """What came of an invocation.

    Attributes:
        payload: the handler's answer, or the error, JSON.
        failed: whether it is an error.
        log: what the function wrote, with Lambda's lines around it.
        usable: whether the instance may take another invocation.
    """

    payload: bytes
    failed: bool
    log: bytes
    usable: bool


def invoke(instance: Instance, event: Event, arn: str, *, init_limit: float | None) -> Answer | None:
    """Give an instance an event and wait for the answer, at most the function's timeout.

    Args:
        instance: busy with nothing else.
        event: for the handler.
        arn: the function's.
        init_limit: seconds that its cold start may take; None for a warm one.

    Returns:
        The answer; None where a warm instance turns out to have ended.
    """
    if init_limit is not None:
        refusal = _initialise(instance, event, init_limit)
        if refusal is not None:
            return refusal
    elif not instance.alive:
        return None
    init = None if init_limit is None else time.monotonic() - instance.started_at
    return _run(instance, event, arn, init)


def _initialise(instance: Instance, event: Event, limit: float) -> Answer | None:
    """Wait until a new instance is ready; return the answer where it does not become so."""
    try:
        instance.channel.ready.result(limit)
    except TimeoutError:
        payload = _error(
            event, "Sandbox.Timedout", f"Task timed out in its initialisation after {limit:.2f} seconds"
        )
        status, kind = "timeout", None
    except InitFailed as error:
        payload, status, kind = error.payload, "error", _error_type(error.payload)
    except InstanceGone as error:
        kind = _exit_type(error)
        payload, status = _error(event, kind, f"Runtime exited with error: {error.status}"), "error"
    else:
        return None
    line = report.init_report_line(time.monotonic() - instance.started_at, status, kind)
    return _answer(
        instance, event, payload, failed=True, usable=False, before=line, duration=0.0, status=status
    )


def _run(instance: Instance, event: Event, arn: str, init: float | None) -> Answer:
    timeout = instance.function.timeout
    before = report.start_line(event.request_id)
    started = time.monotonic()
    invocation = Invocation(
        event.request_id, event.payload, int((time.time() + timeout) * 1000), arn, event.client_context
    )
    instance.channel.offer(invocation)
    usable, status = False, None
    try:
        answer = invocation.answer.result(timeout)
        payload, failed, usable = answer.payload, answer.failed, True
    except TimeoutError:
        payload, failed, status = (
            _error(event, "Sandbox.Timedout", f"Task timed out after {timeout:.2f} seconds"),
            True,
            "timeout",
        )
    except InstanceGone as error:
        payload = _error(event, _exit_type(error), f"Runtime exited with error: {error.status}")
        failed, status = True, "error"
    if len(payload) > MAX_PAYLOAD:
        message = f"Response payload size exceeded maximum allowed payload size ({MAX_PAYLOAD} bytes)."
        payload, failed = _error(event, "Function.ResponseSizeTooLarge", message), True
    return _answer(
        instance,
        event,
        payload,
        failed=failed,
        usable=usable,
        before=before,
        duration=time.monotonic() - started,
        status=status,
        init=init,
    )


def _answer(
    instance: Instance, event: Event, payload: bytes, *, failed: bool, usable: bool, before: str, **lines: Any
) -> Answer:
    used = instance.memory_used()
    end = report.end_lines(event.request_id, memory=instance.function.memory, used=used, **lines)
    log = before.encode() + _whole_lines(instance.take_log()) + end.encode()
    return Answer(payload, failed, log, usable)


def _whole_lines(log: bytes) -> bytes:
    return log if not log or log.endswith(b"\n") else log + b"\n"


def _error(event: Event, kind: str, message: str) -> bytes:
    return msgspec.json.encode(
        {"errorType": kind, "errorMessage": f"RequestId: {event.request_id} Error: {message}"}
    )


def _exit_type(error: InstanceGone) -> str:
    return "Runtime.OutOfMemory" if error.out_of_memory else "Runtime.ExitError"


def _error_type(payload: bytes) -> str | None:
    try:
        found = msgspec.json.decode(payload)["errorType"]
    except (msgspec.DecodeError, LookupError, TypeError):
        return None
    return str(found)
