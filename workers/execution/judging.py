"""The verdict that follows from how a call went. Pure."""

import msgspec

from straightline.contracts import DataRef
from straightline.errors import ContractError
from workers.execution.result import ExecutionResult
from workers.protocol.base import BackendResponse
from workers.protocol.errors import BackendFault, ModelError, WrongInput


class CallTiming(msgspec.Struct, frozen=True, kw_only=True):
    """When a backend was asked and when it answered (seconds since the epoch), and for how many requests.

    `asked` is False where it did not come to a call.
    """

    started: float
    finished: float
    share: int = 1
    asked: bool = True


def succeeded(
    call: CallTiming, answer: BackendResponse, result: msgspec.Raw, reference: DataRef | None
) -> ExecutionResult:
    """Return the verdict on an answer in time."""
    return ExecutionResult(
        kind="succeeded",
        started_at=call.started,
        finished_at=call.finished,
        result=result,
        result_ref=reference,
        service=answer.service,
        cold_start=answer.cold_start,
        share=call.share,
    )


def expired(call: CallTiming, answer: BackendResponse | None = None) -> ExecutionResult:
    """Return the verdict on a request whose deadline passed before it was asked, or before the answer."""
    return ExecutionResult(
        kind="expired",
        started_at=call.started,
        finished_at=call.finished,
        error_class="deadline",
        error="its deadline passed before it was answered" if answer is None else "the answer came too late",
        asked=call.asked,
        service=0.0 if answer is None else answer.service,
        cold_start=None if answer is None else answer.cold_start,
        share=call.share,
    )


def cancelled(call: CallTiming) -> ExecutionResult:
    """Return the verdict on a request that was taken back before it was asked, or while it was.

    An earlier execution, of which the broker had no end, may have asked the model: no word denies that.
    """
    return ExecutionResult(
        kind="cancelled",
        started_at=call.started,
        finished_at=call.finished,
        error_class="cancelled",
        error="it was cancelled while it was worked at"
        if call.asked
        else "it was cancelled before it was answered",
        asked=call.asked,
        service=call.finished - call.started if call.asked else 0.0,
        share=call.share,
    )


def failed(call: CallTiming, error: ModelError | ContractError) -> ExecutionResult:
    """Return the verdict on what would fail everywhere."""
    return ExecutionResult(
        kind="rejected" if isinstance(error, WrongInput) else "failed",
        started_at=call.started,
        finished_at=call.finished,
        error_class=error.error_class,
        error=str(error),
        asked=call.asked,
        service=call.finished - call.started if call.asked else 0.0,
        cold_start=error.cold_start if isinstance(error, ModelError) else None,
        share=call.share,
    )


def backend_fault(call: CallTiming, fault: BackendFault, deadline: float) -> ExecutionResult:
    """Return the verdict on a fault of the backend: nobody waits for another attempt after the deadline."""
    return ExecutionResult(
        kind="expired" if deadline <= call.finished else "fault",
        started_at=call.started,
        finished_at=call.finished,
        error_class=fault.error_class,
        error=str(fault),
        asked=call.asked,
        service=call.finished - call.started if call.asked else 0.0,
        cold_start=fault.cold_start,
        share=call.share,
    )
