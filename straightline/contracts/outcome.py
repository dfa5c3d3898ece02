"""How a request ended, and what was tried on the way."""

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
    """The one final outcome of a request.

    Attributes:
        request_id: the request's id.
        state: how it ended.
        model, version, class_, batch_id: as in the request; None where it could not be read.
        backend: which one answered or failed last; None where none was asked.
        attempts: every placement that was tried, the last one last.
        error_class: a stable word for what went wrong; None when it succeeded.
        error: the sentence for people.
        result: the V2 infer response, undecoded; empty where there is none.
        result_ref: where the result lies, where it is too large to travel.
        submitted_at: as the producer said, clamped to the scheduler's clock.
        received_at: when the scheduler first had it.
        finished_at: when this outcome was made.
        r_d: bytes of the input data.
        cost: estimated, in US dollars.
        digest: of the request's content, which tells a repeated id from a conflicting one.
        retry_after: seconds after which a request like it (under a new id) may do better; only where it was
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
        """Return the answer of the model.

        Raises:
            NoResult: the request did not succeed; the error says how it ended.
            ContractError: the answer is no V2 infer response.
        """
        if self.state != "succeeded":
            raise NoResult(self.request_id, self.state, self.error_class, self.error)
        if not self.result:
            where = "in no message" if self.result_ref is None else f"at {self.result_ref.uri}"
            raise ContractError(f"the result lies {where}: read it through a client with that store")
        return decode_infer_response(self.result)

    def outputs(self) -> "dict[str, Array]":
        """Return the tensors of the answer as numpy arrays by their names.

        Raises:
            NoResult, ContractError: as `response`.
            ConfigurationError: numpy is not installed.
        """
        return arrays_of(self.response())


class OutcomeBatch(msgspec.Struct, kw_only=True):
    """The message on `straightline.outcomes`: what one task brought, 1..n outcomes."""

    outcomes: list[Outcome]


class Recall(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A repeated id: the recorder notes it and answers with the outcome that stands in the ledger.

    It travels behind that outcome in the same queue, so the recorder has the outcome when it reads this.

    Attributes:
        request_id: the id that came again.
        digest: of the later request's content.
        conflict: whether that content differed from the first.
        seen_at: when it came.
        reply: where to send the first outcome again (or, in a conflict, a rejection).
        repeated: False where no id came again, and the outcome of somebody else's sending is to be told from
            the ledger; nothing is noted then.
    """

    request_id: str
    digest: str
    conflict: bool
    seen_at: float
    reply: ReplyAddress | None = None
    repeated: bool = True
