"""The result of executing one request, and how it follows from a backend call."""

from typing import Literal

import msgspec

from straightline.contracts import DataRef
from straightline.contracts.outcome import NO_RESULT
from straightline.errors import ContractError
from workers.domain.placements import Work
from workers.protocol.base import BackendResponse
from workers.protocol.errors import BackendFault, ModelError, WrongInput


class ExecutionResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one request.

    Attributes:
        kind: a final state, or `fault`: the backend is at fault and the request goes back for placement.
        started_at, finished_at: seconds since the epoch.
        result, result_ref: the model's response, inline or by reference.
        error_class, error: what went wrong, as a stable word and as a sentence.
        asked: whether the backend was called at all.
        service: seconds in the backend, cold start included.
        cold_start: seconds of `service` spent on starting the backend.
        share: number of requests in the same call.
    """

    kind: Literal["succeeded", "failed", "rejected", "expired", "cancelled", "fault"]
    started_at: float
    finished_at: float
    result: msgspec.Raw = NO_RESULT
    result_ref: DataRef | None = None
    error_class: str | None = None
    error: str | None = None
    asked: bool = True
    service: float = 0.0
    cold_start: float | None = None
    share: int = 1


Results = list[tuple[Work, ExecutionResult]]


class CallTiming(msgspec.Struct, frozen=True, kw_only=True):
    """The times of one backend call.

    Attributes:
        started, finished: seconds since the epoch.
        share: number of requests in the call.
        asked: False if the request ended before a call was made.
    """

    started: float
    finished: float
    share: int = 1
    asked: bool = True

    @property
    def service(self) -> float:
        """Seconds that the call took; 0 if there was none."""
        return self.finished - self.started if self.asked else 0.0


def succeeded(
    call: CallTiming, response: BackendResponse, result: msgspec.Raw, reference: DataRef | None
) -> ExecutionResult:
    """Return the result of a response that came before the deadline."""
    return ExecutionResult(
        kind="succeeded",
        started_at=call.started,
        finished_at=call.finished,
        result=result,
        result_ref=reference,
        service=response.service,
        cold_start=response.cold_start,
        share=call.share,
    )


def expired(call: CallTiming, response: BackendResponse | None = None) -> ExecutionResult:
    """Return the result of a request whose deadline passed before the call, or before the response."""
    return ExecutionResult(
        kind="expired",
        started_at=call.started,
        finished_at=call.finished,
        error_class="deadline",
        error="the deadline passed before the request was executed"
        if response is None
        else "the deadline passed before the response came",
        asked=call.asked,
        service=0.0 if response is None else response.service,
        cold_start=None if response is None else response.cold_start,
        share=call.share,
    )


def cancelled(call: CallTiming) -> ExecutionResult:
    """Return the result of a request that was cancelled before or during its call.

    The message never says that the model did not run: an earlier, unacknowledged execution may have called
    it.
    """
    return ExecutionResult(
        kind="cancelled",
        started_at=call.started,
        finished_at=call.finished,
        error_class="cancelled",
        error="cancelled while it was executed" if call.asked else "cancelled before it was answered",
        asked=call.asked,
        service=call.service,
        share=call.share,
    )


def failed(call: CallTiming, error: ModelError | ContractError) -> ExecutionResult:
    """Return the result of an error that every backend would repeat."""
    return ExecutionResult(
        kind="rejected" if isinstance(error, WrongInput) else "failed",
        started_at=call.started,
        finished_at=call.finished,
        error_class=error.error_class,
        error=str(error),
        asked=call.asked,
        service=call.service,
        cold_start=error.cold_start if isinstance(error, ModelError) else None,
        share=call.share,
    )


def backend_fault(call: CallTiming, fault: BackendFault, deadline: float) -> ExecutionResult:
    """Return the result of a backend's fault; after the deadline there is no further attempt."""
    return ExecutionResult(
        kind="expired" if deadline <= call.finished else "fault",
        started_at=call.started,
        finished_at=call.finished,
        error_class=fault.error_class,
        error=str(fault),
        asked=call.asked,
        service=call.service,
        cold_start=fault.cold_start,
        share=call.share,
    )


def as_cancelled(result: ExecutionResult) -> ExecutionResult:
    """Return the result that a cancellation puts in place of another one."""
    return cancelled(CallTiming(started=result.started_at, finished=result.finished_at, asked=result.asked))
