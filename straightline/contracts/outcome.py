"""Outcomes: how requests ended."""

from typing import TYPE_CHECKING, Final

import msgspec

from straightline.contracts.request import NO_DATA, DataRef
from straightline.contracts.tensors.arrays import arrays_of
from straightline.contracts.tensors.v2 import InferResponse, decode_infer_response
from straightline.contracts.ticket import Attempt, ReplyAddress
from straightline.errors import ContractError, NoResult
from straightline.names import Backend, RequestClass, State

if TYPE_CHECKING:
    from straightline.contracts.tensors.arrays import Array

NO_RESULT: Final = NO_DATA
"""The empty value of `result`; see `NO_DATA`."""

__all__ = ["Attempt", "Outcome", "OutcomeBatch", "Recall"]


class Outcome(msgspec.Struct, kw_only=True, omit_defaults=True, rename={"class_": "class"}):
    """The final outcome of a request.

    Attributes:
        request_id: the request's id.
        state: the final state.
        model, version, class_, batch_id: as in the request; None if it could not be decoded.
        backend: the last backend that ran it; None if none did.
        attempts: every placement tried, in order.
        error_class: stable name of the error; None if it succeeded.
        error: the error, for people.
        result: the V2 infer response, undecoded; empty if there is none.
        result_ref: reference of a result that is too large for a message.
        submitted_at: the producer's time, clamped to the scheduler's clock; seconds since the epoch.
        received_at: when the scheduler first received it; seconds since the epoch.
        finished_at: when the outcome was created; seconds since the epoch.
        r_d: bytes of the input data.
        cost: estimate in US dollars.
        digest: digest of the request's content, which distinguishes a repeated id from a conflicting one.
        retry_after: seconds to wait before a similar request (with a new id) may succeed; only if it was
            rejected as `saturated`.
    """

    request_id: str
    state: State
    finished_at: float
    model: str | None = None
    version: str | None = None
    class_: RequestClass | None = None
    batch_id: str | None = None
    backend: Backend | None = None
    attempts: list[Attempt] = []
    error_class: str | None = None
    error: str | None = None
    result: msgspec.Raw = NO_RESULT
    result_ref: DataRef | None = None
    submitted_at: float | None = None
    received_at: float | None = None
    r_d: int | None = None
    cost: float | None = None
    digest: str | None = None
    retry_after: float | None = None

    def response(self) -> InferResponse:
        """Return the model's answer.

        Raises:
            NoResult: the request did not succeed; the error says how it ended.
            ContractError: the result is not a V2 infer response.
        """
        if self.state != "succeeded":
            raise NoResult(self.request_id, self.state, self.error_class, self.error)
        if not self.result:
            where = (
                "not in the message" if self.result_ref is None else f"in a store, at {self.result_ref.uri}"
            )
            raise ContractError(f"the result is {where}: read it through a client with that store")
        return decode_infer_response(self.result)

    def outputs(self) -> "dict[str, Array]":
        """Return the output tensors as numpy arrays by name.

        Raises:
            NoResult, ContractError: as `response`.
            ConfigurationError: numpy is not installed.
        """
        return arrays_of(self.response())


class OutcomeBatch(msgspec.Struct, kw_only=True):
    """The message on `straightline.outcomes`: 1..n outcomes of one task."""

    outcomes: list[Outcome]


class Recall(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A repeated request id: the recorder counts it and replies with the outcome in the ledger.

    It follows that outcome in the same queue, so that the recorder has recorded the outcome before.

    Attributes:
        request_id: the repeated id.
        digest: digest of the later request's content.
        conflict: whether that content differs from the first.
        seen_at: when it was received, seconds since the epoch.
        reply: where to send the first outcome again (or, in a conflict, a rejection).
        repeated: False if no id was repeated and only the outcome in the ledger is requested; it is not
            counted then.
    """

    request_id: str
    digest: str
    conflict: bool
    seen_at: float
    reply: ReplyAddress | None = None
    repeated: bool = True
