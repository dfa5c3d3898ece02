"""A request as a producer states it, and its message body."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, TypedDict

import msgspec

from straightline.contracts.request import (
    MAX_BODY_BYTES,
    MAX_INLINE_BYTES,
    NO_DATA,
    DataRef,
    Request,
    decode_request,
)
from straightline.contracts.tensors.arrays import are_arrays, infer_request
from straightline.contracts.tensors.v2 import InferRequest, decode_infer_request
from straightline.errors import ContractError, Rejected
from straightline.ids import canonical, id_of_key, new_id
from straightline.names import BACKENDS, Backend, RequestClass

DEFAULT_LIFETIME_S: Final[Mapping[RequestClass, float]] = {"interactive": 60.0, "batch": 86_400.0}
"""From `submitted_at` to the deadline of a request that names none."""
MAX_DEADLINE_S: Final = 10 * 365 * 86_400.0
"""From now. A time since 1970 is far above, so that it is not taken for a duration."""
_ALLOW: Final = f"allow is invalid: it must be a list of backends ({', '.join(BACKENDS)})"

Data = Mapping[str, Any] | InferRequest | msgspec.Raw | bytes | bytearray | memoryview | str
"""A V2 infer request as a mapping, structure or JSON; or arrays by tensor name."""


class StoreWriter(Protocol):
    """A store for large data: `straightline.storage.store.Store`."""

    def put(self, data: bytes, owner: str | None = None) -> DataRef:
        """Store the bytes and return their reference."""


class Options(TypedDict, total=False):
    """Options of a request; see `Submission`."""

    version: str | None
    class_: RequestClass
    deadline: float | None
    allow: Sequence[Backend] | None
    id: str | None
    idempotency_key: str | None
    batch_id: str | None
    trace: Mapping[str, str] | None


class Submission(msgspec.Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    """A request to submit.

    Attributes:
        model: the model's name.
        data: a V2 infer request, or arrays by tensor name.
        version: version of the model; None takes the deployed default or canary.
        class_: `interactive`, or `batch`, which runs when resources are free.
        deadline: seconds from now until the request expires; None takes the class's default.
        allow: allowlist of backends; None allows all.
        id: UUID; submitting it again returns the first outcome without a second computation. None draws one.
        idempotency_key: text of the producer in place of an id, such as `order-4711`; see
            `straightline.ids.id_of_key`.
        batch_id: the batch job it belongs to.
        trace: W3C trace context, `traceparent` and `tracestate`; None takes OpenTelemetry's current one, if
            the process uses it; an empty mapping sends none.
    """

    model: str
    data: Data
    version: str | None = None
    class_: RequestClass = "interactive"
    deadline: float | None = None
    allow: Sequence[Backend] | None = None
    id: str | None = None
    idempotency_key: str | None = None
    batch_id: str | None = None
    trace: Mapping[str, str] | None = None


class Draft(msgspec.Struct):
    """A checked request, whose data may still have to be stored.

    Attributes:
        request: the request.
        body: the message's body; empty while `large` is set.
        large: data to store first, or None.
    """

    request: Request
    body: bytes
    large: bytes | None = None

    def refer(self, reference: DataRef) -> None:
        """Complete the draft with the reference of its stored data."""
        self.request.data_ref = reference
        self.body = _encode(self.request)
        self.large = None


def compose(submission: Submission, *, store: StoreWriter | None, now: float) -> Draft:
    """Return the draft of a request with its data stored; checks everything that needs no model.

    Args:
        submission: the request.
        store: for data larger than `MAX_INLINE_BYTES`; None sends it inline.
        now: seconds since the epoch.

    Raises:
        ContractError: an argument or the data is invalid; the message says what to change.
        Rejected: the data is too large to be sent without a store.
        StoreUnavailable: the store could not be written.
    """
    draft = prepare(submission, by_reference=store is not None, now=now)
    if draft.large is not None and store is not None:
        draft.refer(store.put(draft.large, draft.request.id))
    return draft


def prepare(submission: Submission, *, by_reference: bool, now: float) -> Draft:
    """Return the draft of a request like `compose`, without storing large data.

    Args:
        submission: the request.
        by_reference: whether data larger than `MAX_INLINE_BYTES` is stored.
        now: seconds since the epoch.

    Raises:
        ContractError, Rejected: as `compose`.
    """
    identity = _identity(submission)
    data = encode_data(submission.data)
    by_reference = by_reference and len(data) > MAX_INLINE_BYTES
    request = Request(
        id=identity,
        model=submission.model,
        version=submission.version,
        class_=submission.class_,
        submitted_at=now,
        deadline=_deadline(submission.deadline, now),
        allow=_allow(submission.allow),
        batch_id=submission.batch_id,
        data=msgspec.Raw(b"{}" if by_reference else data),
    )
    # Checked before the store is written, so that a rejected request leaves nothing behind.
    body = _checked(request)
    if not by_reference:
        return Draft(request, body)
    request.data = NO_DATA
    return Draft(request, b"", data)


def encode_data(data: Data) -> bytes:
    """Return `data` as a V2 infer request in JSON.

    Raises:
        ContractError: it is not a V2 infer request, nor arrays.
    """
    try:
        if isinstance(data, str):
            encoded = data.encode()
        elif isinstance(data, bytes | bytearray | memoryview | msgspec.Raw):
            encoded = bytes(data)
        elif isinstance(data, Mapping) and are_arrays(data):
            encoded = msgspec.json.encode(infer_request(data))
        else:
            encoded = msgspec.json.encode(data)
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError, OverflowError) as error:
        raise ContractError(
            f"data cannot be encoded as JSON: {error}. Give arrays by tensor name, or a V2 infer request of "
            "lists, numbers and strings",
            error_class="wrong_type",
        ) from error
    decode_infer_request(encoded)
    return encoded


def _identity(submission: Submission) -> str:
    if submission.idempotency_key is not None:
        if submission.id is not None:
            raise ContractError(
                "id and idempotency_key are both set: give one of them", error_class="wrong_type"
            )
        return id_of_key(submission.idempotency_key)
    identity = new_id() if submission.id is None else canonical(submission.id)
    if identity is None:
        raise ContractError(
            f"id {submission.id!r} is not a UUID: omit it, or give your own text as idempotency_key",
            error_class="wrong_type",
        )
    return identity


def _deadline(seconds: float | None, now: float) -> float | None:
    if seconds is None:
        return None
    if not isinstance(seconds, int | float) or not 0 < seconds < MAX_DEADLINE_S:
        raise ContractError(
            "deadline is invalid: it must be a number of seconds from now, above 0 and below ten years",
            error_class="wrong_type",
        )
    return now + seconds


def _allow(backends: Sequence[Backend] | None) -> tuple[Backend, ...] | None:
    if backends is None:
        return None
    if not isinstance(backends, list | tuple | set | frozenset):
        raise ContractError(_ALLOW, error_class="wrong_type")
    for backend in backends:
        if not isinstance(backend, str) or backend not in BACKENDS:
            said = f"{backend!r:.64}" if isinstance(backend, str) else f"a {type(backend).__name__}"
            raise ContractError(f"{_ALLOW}; it has {said}", error_class="wrong_type")
    return tuple(backends)


def _checked(request: Request) -> bytes:
    body = _encode(request)
    if len(body) > MAX_BODY_BYTES:
        raise Rejected(
            f"the request has {len(body)} bytes, the limit without a store is {MAX_BODY_BYTES}: create the "
            "client with a store that the workers can read, Client(url, store=...)"
        )
    decode_request(body)
    return body


def _encode(request: Request) -> bytes:
    try:
        return msgspec.json.encode(request)
    except (msgspec.MsgspecError, TypeError, ValueError) as error:
        raise ContractError(f"the request cannot be encoded: {error}", error_class="wrong_type") from error


def submission_of(item: Submission | Mapping[str, Any]) -> Submission:
    """Return a submission, built from a mapping of its fields (`class` or `class_`) if it is one.

    Raises:
        ContractError: a field is missing or unknown.
    """
    if isinstance(item, Submission):
        return item
    try:
        words = {"class_" if key == "class" else key: value for key, value in item.items()}
        return Submission(**words)
    except (TypeError, AttributeError) as error:
        raise ContractError(
            f"the request is neither a Submission nor a mapping of its fields: {error}",
            error_class="wrong_type",
        ) from error
