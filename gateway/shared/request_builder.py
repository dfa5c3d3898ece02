"""From what came over HTTP to a request as any producer publishes it. Pure: time is an argument."""

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from straightline.contracts import DataRef
from straightline.contracts.request import decode_request
from straightline.contracts.tensors.v2 import decode_infer_request
from straightline.errors import ContractError
from straightline.ids import new_id
from straightline.names import RequestClass
from straightline.producer.content_digest import digest

MEMBERS: Final = ("model", "version", "class", "deadline", "allow", "batch_id", "data", "data_ref", "id")
"""Members of a request that a caller may give."""
IDEMPOTENCY_NAMESPACE: Final = uuid.UUID("6d0f6b5e-8a52-5f0d-9d0c-5b6a6f1f4c1b")
"""Of the ids that are made of idempotency keys."""
_IDEMPOTENCY_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
TRACE_HEADERS: Final = ("traceparent", "tracestate")
WEBHOOK_HEADER: Final = "X-StraightLine-Webhook"
"""Names the webhook that is to be told of a request's end."""

Put = Callable[[bytes], DataRef]
"""Stores data."""


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """A request ready to be published.

    Attributes:
        id: its id.
        model: its model.
        body: the message.
        key: routing key, which is the class.
        submitted_at: when it was composed; seconds since the epoch.
        deadline: seconds since the epoch; None takes the class's.
        digest: of what it asks, where the caller named it: the same name may have come with other content.
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
    """Return the request that `members` describe.

    Args:
        members: of `MEMBERS`; `data` as `msgspec.Raw`.
        now: seconds since the epoch.
        inline_limit: above so many bytes `data` goes into the store.
        put: the store; None lets data travel inline.
        deadline: seconds since the epoch, where `members` name none.
        decoded: whether the caller has read `data` as a V2 request already; it is not decoded again then.

    Raises:
        ContractError: it is none; the message says what to change.
        StoreUnavailable: the store did not take the data.
    """
    given = {name: value for name, value in members.items() if value is not None}
    given = {"id": new_id(), "deadline": deadline, **given, "submitted_at": now}
    if given["deadline"] is None:
        del given["deadline"]
    data = given.get("data")
    if put is not None and data is not None and len(memoryview(data)) > inline_limit:
        # Checked before the store is written: what is refused leaves nothing behind.
        decode_request(msgspec.json.encode({**given, "data": {}}))
        if not decoded:
            decode_infer_request(data)
        del given["data"]
        given["data_ref"] = put(bytes(data))
    body = msgspec.json.encode(given)
    request = decode_request(body)  # the scheduler's own checks, whose words the caller gets at once
    if request.data_ref is None and not decoded:
        request.infer_request()
    content = digest(request) if members.get("id") is not None else None
    return PreparedRequest(request.id, request.model, body, request.class_, now, request.deadline, content)


def id_from_idempotency_key(owner: str, idempotency_key: str | None) -> str | None:
    """Return the id that an idempotency key stands for; another caller's same key stands for another one.

    Args:
        owner: whose key it is: a name of the caller.
        idempotency_key: what he sent; None where he sent none.

    Raises:
        ContractError: it is not 1 to 255 visible ASCII characters.
    """
    checked = check_idempotency_key(idempotency_key)
    if checked is None:
        return None
    return str(uuid.uuid5(IDEMPOTENCY_NAMESPACE, f"{owner}\0{checked}"))


def check_idempotency_key(idempotency_key: str | None) -> str | None:
    """Return an idempotency key as it came; None where none did.

    Raises:
        ContractError: it is not 1 to 255 visible ASCII characters.
    """
    if idempotency_key is not None and not _IDEMPOTENCY_KEY.fullmatch(idempotency_key):
        raise ContractError("Idempotency-Key takes 1 to 255 visible ASCII characters")
    return idempotency_key


def trace_context(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the W3C trace context among HTTP headers."""
    found = {name.lower(): value for name, value in headers.items()}
    return {name: found[name] for name in TRACE_HEADERS if found.get(name)}
