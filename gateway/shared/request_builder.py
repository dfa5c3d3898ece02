"""Requests built from the members, keys and headers that callers send."""

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from straightline.contracts import DataRef
from straightline.contracts.content_digest import digest
from straightline.contracts.request import decode_request
from straightline.contracts.tensors.v2 import decode_infer_request
from straightline.errors import ContractError
from straightline.ids import new_id
from straightline.names import RequestClass

MEMBERS: Final = ("model", "version", "class", "deadline", "allow", "batch_id", "data", "data_ref", "id")
"""Members of a request that a caller may send."""
IDEMPOTENCY_NAMESPACE: Final = uuid.UUID("6d0f6b5e-8a52-5f0d-9d0c-5b6a6f1f4c1b")
"""Namespace of the ids derived from idempotency keys."""
_IDEMPOTENCY_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
TRACE_HEADERS: Final = ("traceparent", "tracestate")
WEBHOOK_HEADER: Final = "X-StraightLine-Webhook"
"""Carries the id of the webhook to call when the request has ended."""

Put = Callable[[bytes], DataRef]
"""Writes data to the store and returns its reference."""


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """A request ready to be published.

    Attributes:
        id: id of the request.
        model: name of its model.
        body: the message.
        key: routing key: the class of the request.
        submitted_at: seconds since the epoch.
        deadline: seconds since the epoch; None takes the default of the class.
        digest: digest of the content; None if the gateway chose the id, which then has no other content.
    """

    id: str
    model: str
    body: bytes
    key: RequestClass
    submitted_at: float
    deadline: float | None
    digest: str | None = None


def prepare_request(
    members: Mapping[str, Any],
    *,
    now: float,
    inline_limit: int,
    put: Put | None,
    deadline: float | None,
    decoded: bool = False,
) -> PreparedRequest:
    """Build the request that `members` describe.

    Args:
        members: values by the names in `MEMBERS`; `data` is `msgspec.Raw`.
        now: seconds since the epoch.
        inline_limit: size in bytes above which `data` goes to the store.
        put: writes to the store; None keeps data inline.
        deadline: seconds since the epoch, for members without one.
        decoded: whether `data` was already validated as a V2 request.

    Raises:
        ContractError: the members are not a valid request.
        StoreUnavailable: the data could not be stored.
    """
    given = {name: value for name, value in members.items() if value is not None}
    given = {"id": new_id(), "deadline": deadline, **given, "submitted_at": now}
    if given["deadline"] is None:
        del given["deadline"]
    data = given.get("data")
    if put is not None and data is not None and len(memoryview(data)) > inline_limit:
        # Validate before writing to the store, so that a rejected request leaves nothing behind.
        decode_request(msgspec.json.encode({**given, "data": {}}))
        if not decoded:
            decode_infer_request(data)
        del given["data"]
        given["data_ref"] = put(bytes(data))
    body = msgspec.json.encode(given)
    request = decode_request(body)  # the scheduler's own checks, reported to the caller at once
    if request.data_ref is None and not decoded:
        request.infer_request()
    content = digest(request) if members.get("id") is not None else None
    return PreparedRequest(request.id, request.model, body, request.class_, now, request.deadline, content)


def id_from_idempotency_key(owner: str, idempotency_key: str | None) -> str | None:
    """Derive the request id of an idempotency key; equal keys of two callers give different ids.

    Args:
        owner: id of the caller.
        idempotency_key: value of the header; None without one.

    Raises:
        ContractError: the key is not 1 to 255 visible ASCII characters.
    """
    checked = check_idempotency_key(idempotency_key)
    if checked is None:
        return None
    return str(uuid.uuid5(IDEMPOTENCY_NAMESPACE, f"{owner}\0{checked}"))


def check_idempotency_key(idempotency_key: str | None) -> str | None:
    """Return the idempotency key unchanged.

    Raises:
        ContractError: the key is not 1 to 255 visible ASCII characters.
    """
    if idempotency_key is not None and not _IDEMPOTENCY_KEY.fullmatch(idempotency_key):
        raise ContractError("Idempotency-Key must be 1 to 255 visible ASCII characters")
    return idempotency_key


def trace_context(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the W3C trace context headers."""
    found = {name.lower(): value for name, value in headers.items()}
    return {name: found[name] for name in TRACE_HEADERS if found.get(name)}
