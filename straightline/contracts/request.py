"""Requests, and `decode_request`, which every request passes."""

import math
from typing import Annotated, Final

import msgspec

from straightline.contracts.model import Name
from straightline.contracts.parsing.decoding import decode
from straightline.contracts.parsing.error_hints import explain
from straightline.contracts.parsing.json_limits import limit_violation
from straightline.contracts.tensors.v2 import InferRequest, decode_infer_request
from straightline.errors import ContractError
from straightline.ids import canonical
from straightline.names import Backend, RequestClass

MAX_BODY_BYTES: Final = 16 * 1024 * 1024
"""Of a message; larger data is sent by reference."""
MAX_INLINE_BYTES: Final = 256 * 1024
"""The SDK sends larger `data` by reference if it has a store."""

NO_DATA: Final = msgspec.Raw()
"""The empty value of an optional `Raw`, which cannot be None: msgspec would then decode it.

Use this object: msgspec omits a default by identity, and another empty `Raw` would break the JSON.
"""


class DataRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Reference of a request's `data`: the bytes at `uri` are a V2 infer request as JSON."""

    uri: Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]
    size: Annotated[int, msgspec.Meta(ge=0)]
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]


class Request(msgspec.Struct, kw_only=True, omit_defaults=True, rename={"class_": "class"}):
    """A request for one call of one model.

    Attributes:
        id: UUID (version 7 by convention), the idempotency key.
        model: the model's name.
        version: version of the model; None takes the deployed default or canary.
        class_: `interactive` or `batch`; `class` on the wire.
        submitted_at: when the producer created it, seconds since the epoch.
        deadline: when it expires, seconds since the epoch; None takes the class's default.
        allow: allowlist of backends; None allows all.
        batch_id: the batch job it belongs to.
        data: a V2 infer request, undecoded; either this or `data_ref`.
        data_ref: reference of that data.
    """

    id: Annotated[str, msgspec.Meta(max_length=64)]
    model: Name
    submitted_at: float
    version: Name | None = None
    class_: RequestClass = "interactive"
    deadline: float | None = None
    allow: Annotated[tuple[Backend, ...], msgspec.Meta(min_length=1, max_length=8)] | None = None
    batch_id: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    data: msgspec.Raw = NO_DATA
    data_ref: DataRef | None = None

    @property
    def size(self) -> int:
        """`r_d`: the bytes of the input data, inline or referenced."""
        if self.data_ref is not None:
            return self.data_ref.size
        return len(memoryview(self.data))

    def infer_request(self) -> InferRequest:
        """Decode the inline `data`.

        Raises:
            ContractError: it is not a V2 infer request.
        """
        return decode_infer_request(self.data)


class _IdOnly(msgspec.Struct):
    id: str | None = None


def decode_request(body: bytes, *, message_id: str | None = None, max_body: int = MAX_BODY_BYTES) -> Request:
    """Decode a request and check everything that needs no model.

    Args:
        body: the message's body, JSON in UTF-8.
        message_id: the AMQP property, which names the request if the body cannot be decoded.
        max_body: bytes of a body at most.

    Raises:
        ContractError: the request is invalid; the error has its id, if known, and says what to change.
    """
    if len(body) > max_body:
        raise ContractError(
            f"the request has {len(body)} bytes, the limit is {max_body}: send its data by reference",
            error_class="too_large",
            request_id=canonical(message_id or ""),
        )
    try:
        request = decode(body, Request)
    except ContractError as error:
        raise ContractError(
            f"the request is invalid: {explain(error, Request)}",
            error_class=error.error_class,
            request_id=find_id(body, message_id),
        ) from error
    unfit = limit_violation(body)
    if unfit is not None:
        raise ContractError(
            f"the request is invalid: {unfit}",
            request_id=canonical(request.id) or canonical(message_id or ""),
        )
    identity = canonical(request.id)
    if identity is None:
        raise ContractError(
            f"id {request.id!r} is not a UUID",
            error_class="wrong_type",
            request_id=canonical(message_id or ""),
        )
    request.id = identity
    _check(request)
    return request


def _check(request: Request) -> None:
    problem = None
    if bool(request.data) == (request.data_ref is not None):
        problem = "the request needs either data or data_ref, not both"
    elif not math.isfinite(request.submitted_at) or request.submitted_at < 0:
        problem = "submitted_at is invalid: it must be a time in seconds since the epoch"
    elif request.deadline is not None and not math.isfinite(request.deadline):
        problem = "deadline is invalid: it must be a time in seconds since the epoch"
    if problem is not None:
        raise ContractError(problem, error_class="wrong_type", request_id=request.id)


def find_id(body: bytes, message_id: str | None) -> str | None:
    """Return the request id in a message's body or properties, or None."""
    try:
        found = canonical(decode(body, _IdOnly).id or "")
    except ContractError:
        found = None
    return found or canonical(message_id or "")
