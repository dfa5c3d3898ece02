"""What a producer publishes, and the only way in: `decode_request`."""

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
"""Largest message body in bytes; anything larger goes by reference."""
MAX_INLINE_BYTES: Final = 256 * 1024
"""Above so many bytes the SDK sends `data` by reference, where it was given a store."""

NO_DATA: Final = msgspec.Raw()
"""The empty value: an optional `Raw` cannot be None, for msgspec would then decode it.

Use this one: msgspec leaves out a default by identity, and another empty `Raw` would break the JSON.
"""


class DataRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the `data` of a request lies: the bytes at `uri` are the V2 infer request as JSON."""

    uri: Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]
    size: Annotated[int, msgspec.Meta(ge=0)]
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]


class Request(msgspec.Struct, kw_only=True, omit_defaults=True, rename={"class_": "class"}):
    """A request for one answer of one model.

    Attributes:
        id: UUID (version 7 by convention), the idempotency key.
        model: the model's name.
        version: a version of it, where the default will not do.
        class_: `interactive` or `batch`; `class` on the wire.
        submitted_at: when the producer made it, seconds since the epoch.
        deadline: when the answer is of no more use, seconds since the epoch; None takes the class's.
        allow: the only backends that may answer it; None allows all.
        batch_id: the batch job it belongs to.
        data: a V2 infer request, undecoded; or
        data_ref: where that lies.
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
        """Read the inline `data`.

        Raises:
            ContractError: it is not a V2 infer request.
        """
        return decode_infer_request(self.data)


class _IdOnly(msgspec.Struct):
    id: str | None = None


def decode_request(body: bytes, *, message_id: str | None = None, max_body: int = MAX_BODY_BYTES) -> Request:
    """Read a request as a producer published it, checking all that needs no knowledge of models.

    Args:
        body: the message's body, JSON in UTF-8.
        message_id: the AMQP property, which names the request where the body cannot.
        max_body: largest body taken, in bytes.

    Raises:
        ContractError: with the request's id where one could be read, and a message that says what to change.
    """
    if len(body) > max_body:
        raise ContractError(
            f"the request is {len(body)} bytes, the limit is {max_body}: send its data by reference",
            error_class="too_large",
            request_id=canonical(message_id or ""),
        )
    try:
        request = decode(body, Request)
    except ContractError as error:
        raise ContractError(
            f"the request cannot be read: {explain(error, Request)}",
            error_class=error.error_class,
            request_id=find_id(body, message_id),
        ) from error
    unfit = limit_violation(body)
    if unfit is not None:
        raise ContractError(
            f"the request cannot travel: {unfit}",
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
        problem = "a request has either data or data_ref, and just one of them"
    elif not math.isfinite(request.submitted_at) or request.submitted_at < 0:
        problem = "submitted_at is not a time in seconds since the epoch"
    elif request.deadline is not None and not math.isfinite(request.deadline):
        problem = "deadline is not a time in seconds since the epoch"
    if problem is not None:
        raise ContractError(problem, error_class="wrong_type", request_id=request.id)


def find_id(body: bytes, message_id: str | None) -> str | None:
    """Return the id that a message names in its body or its properties, or None."""
    try:
        found = canonical(decode(body, _IdOnly).id or "")
    except ContractError:
        found = None
    return found or canonical(message_id or "")
