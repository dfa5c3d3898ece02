"""One invocation of one instance, from the event to Lambda's result."""

import dataclasses
import time

import msgspec

from function_host.instances import report
from function_host.instances.channel import MAX_PAYLOAD_BYTES, InitFailed, InstanceGone, Invocation
from function_host.instances.instance import Instance
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError


@dataclasses.dataclass(frozen=True)
class Event:
    """The input of an invocation.

    Attributes:
        request_id: id of the invocation.
        payload: the event, JSON.
        client_context: the caller's client context, JSON.
    """

    request_id: str
    payload: bytes
    client_context: str | None = None


@dataclasses.dataclass(frozen=True)
class InvocationResult:
    """The result of an invocation.

    Attributes:
        payload: result or error of the handler, JSON.
        failed: whether it is an error.
        log: output of the function, with Lambda's lines around it.
        usable: whether the instance can take another invocation.
    """

    payload: bytes
    failed: bool
    log: bytes
    usable: bool


@dataclasses.dataclass(frozen=True)
class _End:
    """The end of an invocation; `status` as on the REPORT line, None if the runtime responded."""

    payload: bytes
    failed: bool = True
    status: str | None = None


def invoke(
    instance: Instance, event: Event, arn: str, *, init_limit: float | None
) -> InvocationResult | None:
    """Run an event on an instance, and wait at most for the function's timeout.

    Args:
        instance: a free instance.
        event: the event.
        arn: ARN of the function.
        init_limit: seconds that the cold start may take; None for a warm instance.

    Returns:
        The result; None if a warm instance had ended before it read the event.
    """
    if init_limit is None:
        return _run(instance, event, arn, init=None) if instance.alive else None
    refusal = _initialise(instance, event, init_limit)
    if refusal is not None:
        return refusal
    return _run(instance, event, arn, init=time.monotonic() - instance.started_at)


def _initialise(instance: Instance, event: Event, limit: float) -> InvocationResult | None:
    """Wait until a new instance is ready; return the result if it does not become ready."""
    kind = None
    try:
        instance.channel.ready.result(limit)
    except TimeoutError:
        message = f"Task timed out in its initialisation after {limit:.2f} seconds"
        end = _End(_error(event, "Sandbox.Timedout", message), status="timeout")
    except InitFailed as error:
        kind = _error_type(error.payload)
        end = _End(error.payload, status="error")
    except InstanceGone as error:
        kind = _exit_type(error)
        end = _End(_exited(event, error), status="error")
    else:
        return None
    init = time.monotonic() - instance.started_at
    line = report.init_report_line(init, end.status or "error", kind)
    return _result(instance, event, end, before=line, duration=0.0)


def _run(instance: Instance, event: Event, arn: str, *, init: float | None) -> InvocationResult | None:
    timeout = instance.function.timeout
    deadline_ms = int((time.time() + timeout) * 1000)
    invocation = Invocation(event.request_id, event.payload, deadline_ms, arn, event.client_context)
    before = report.start_line(event.request_id)
    started = time.monotonic()
    instance.channel.offer(invocation)
    try:
        response = invocation.response.result(timeout)
    except TimeoutError:
        message = f"Task timed out after {timeout:.2f} seconds"
        end = _End(_error(event, "Sandbox.Timedout", message), status="timeout")
    except InstanceGone as error:
        if init is None and not instance.channel.was_read(invocation):
            return None
        end = _End(_exited(event, error), status="error")
    else:
        end = _End(response.payload, failed=response.failed)
        if response.too_large:
            message = (
                f"Response payload size exceeded maximum allowed payload size ({MAX_PAYLOAD_BYTES} bytes)."
            )
            end = _End(_error(event, "Function.ResponseSizeTooLarge", message))
    return _result(instance, event, end, before=before, duration=time.monotonic() - started, init=init)


def _result(
    instance: Instance, event: Event, end: _End, *, before: str, duration: float, init: float | None = None
) -> InvocationResult:
    lines = report.end_lines(
        event.request_id,
        duration=duration,
        memory=instance.function.memory,
        used=instance.memory_used(),
        init=init,
        status=end.status,
    )
    log = before.encode() + _whole_lines(instance.take_log()) + lines.encode()
    return InvocationResult(end.payload, end.failed, log, usable=end.status is None)


def _whole_lines(log: bytes) -> bytes:
    return log if not log or log.endswith(b"\n") else log + b"\n"


def _error(event: Event, kind: str, message: str) -> bytes:
    return msgspec.json.encode(
        {"errorType": kind, "errorMessage": f"RequestId: {event.request_id} Error: {message}"}
    )


def _exited(event: Event, error: InstanceGone) -> bytes:
    return _error(event, _exit_type(error), f"Runtime exited with error: {error.status}")


def _exit_type(error: InstanceGone) -> str:
    return "Runtime.OutOfMemory" if error.out_of_memory else "Runtime.ExitError"


def _error_type(payload: bytes) -> str | None:
    try:
        found = decode(payload, dict[str, object])["errorType"]
    except (ContractError, LookupError):
        return None
    return str(found)
