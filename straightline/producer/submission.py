"""A request as a producer says it, and the message body that it becomes; no I/O but the store's."""

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
"""Seconds from `submitted_at` to the deadline of a request that names none."""
MAX_DEADLINE_S: Final = 10 * 365 * 86_400.0
"""Seconds from now; a time since 1970 is far above it, so the one is not taken for the other."""
_ALLOW: Final = f"allow is a list of backends, which are {', '.join(BACKENDS)}"

Data = Mapping[str, Any] | InferRequest | msgspec.Raw | bytes | bytearray | memoryview | str
"""A V2 infer request, as a mapping, as the structure, or as JSON; or arrays by the names of their tensors."""


class StoreWriter(Protocol):
    """What takes large data: `straightline.storage.store.Store`."""

    def put(self, data: bytes, owner: str | None = None) -> DataRef:
        """Store the bytes and say where."""


class Options(TypedDict, total=False):
    """What may be said of a request beside its model and its data; see `Submission`."""

    version: str | None
    class_: RequestClass
    deadline: float | None
    allow: Sequence[Backend] | None
    id: str | None
    idempotency_key: str | None
    batch_id: str | None
    trace: Mapping[str, str] | None


class Submission(msgspec.Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    """What a producer asks.

    Attributes:
        model: the model's name.
        data: a V2 infer request, or arrays by the names of their tensors.
        version: a version of the model; None leaves it to the system.
        class_: `interactive` or `batch` (backfill, which does not get into the way of the former).
        deadline: seconds from now after which the answer is of no more use; None takes the class's.
        allow: the only backends that may answer; None allows all.
        id: UUID: the same id again brings the first outcome again, computed once. None makes a new one.
        idempotency_key: a word of the producer's own in place of an id, such as `order-4711`; see
            `straightline.ids.id_of_key`.
        batch_id: the batch job it belongs to.
        trace: W3C trace context, `traceparent` and `tracestate`; None takes OpenTelemetry's current one, if
            the process uses it, and an empty mapping none.
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
    """A request that is checked and ready, but for data that must be stored first.

    Attributes:
        request: what it says.
        body: the message's body; empty while there is
        large: data for the store.
    """

    request: Request
    body: bytes
    large: bytes | None = None

    def refer(self, reference: DataRef) -> None:
        """Complete it with where its data lies."""
        self.request.data_ref = reference
        self.body = _encode(self.request)
        self.large = None


def compose(submission: Submission, *, store: StoreWriter | None, now: float) -> Draft:
    """Make the request and its body, everything checked that can be without knowing the models.

    Args:
        submission: what is asked.
        store: takes data larger than `MAX_INLINE_BYTES`; None sends it inline.
        now: seconds since the epoch.

    Raises:
        ContractError: an argument or the data is wrong; the message says what to change.
        Rejected: the data is too large to travel without a store.
        StoreUnavailable: the store did not take it.
    """
    draft = prepare(submission, by_reference=store is not None, now=now)
    if draft.large is not None and store is not None:
        draft.refer(store.put(draft.large, draft.request.id))
    return draft


def prepare(submission: Submission, *, by_reference: bool, now: float) -> Draft:
    """Do as `compose` does, and leave large data to be stored; no I/O.

    Args:
        submission: what is asked.
        by_reference: whether there is a store for data larger than `MAX_INLINE_BYTES`.
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
    # Checked before the store is written: what is refused leaves nothing behind.
    body = _checked(request)
    if not by_reference:
        return Draft(request, body)
    request.data = NO_DATA
    return Draft(request, b"", data)


def encode_data(data: Data) -> bytes:
    """Return the V2 infer request as JSON.

    Raises:
        ContractError: it is not one.
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
            f"data cannot be written as JSON: {error}; give arrays by the names of their tensors, or a V2 "
            "infer request of lists, numbers and strings",
            error_class="wrong_type",
        ) from error
    decode_infer_request(encoded)
    return encoded


def _identity(submission: Submission) -> str:
    if submission.idempotency_key is not None:
        if submission.id is not None:
            raise ContractError(
                "a request has an id or an idempotency_key, not both", error_class="wrong_type"
            )
        return id_of_key(submission.idempotency_key)
    identity = new_id() if submission.id is None else canonical(submission.id)
    if identity is None:
        raise ContractError(
            f"id {submission.id!r} is not a UUID: leave it out, or give your own word as idempotency_key",
            error_class="wrong_type",
        )
    return identity


def _deadline(seconds: float | None, now: float) -> float | None:
    if seconds is None:
        return None
    if not isinstance(seconds, int | float) or not 0 < seconds < MAX_DEADLINE_S:
        raise ContractError(
            "deadline is not a number of seconds from now, above 0 and below ten years",
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
            f"the request is {len(body)} bytes, {MAX_BODY_BYTES} can travel inline: give the client a store, "
            "Client(url, store=...), which workers can read as well"
        )
    decode_request(body)
    return body


def _encode(request: Request) -> bytes:
    try:
        return msgspec.json.encode(request)
    except (msgspec.MsgspecError, TypeError, ValueError) as error:
        raise ContractError(f"the request cannot be written: {error}", error_class="wrong_type") from error


def submission_of(item: Submission | Mapping[str, Any]) -> Submission:
    """Return `item` itself, or made from a mapping of the same words (`class` or `class_`).

    Raises:
        ContractError: a word is missing or unknown.
    """
    if isinstance(item, Submission):
        return item
    try:
        words = {"class_" if key == "class" else key: value for key, value in item.items()}
        return Submission(**words)
    except (TypeError, AttributeError) as error:
        raise ContractError(
            f"a request is a Submission or a mapping of its fields: {error}", error_class="wrong_type"
        ) from error
