"""Where a request is that has not ended: a gateway's question, and what is answered. Each may be lost."""

from typing import Annotated, Final

import msgspec

from straightline.contracts.parsing.decoding import decode
from straightline.contracts.ticket import Attempt, Reason
from straightline.errors import ContractError
from straightline.ids import canonical
from straightline.names import Backend, RequestClass, Stage

MAX_QUERY_BYTES: Final = 1024
"""Bytes; a longer one is not read."""


class StatusQuery(msgspec.Struct, kw_only=True):
    """Where is this request? The scheduler that leads answers, and the pool that has it in work.

    Attributes:
        id: of the request.
        reply_to: key on `straightline.replies` under which the answers are pushed.
        correlation_id: what they shall have.
    """

    id: Annotated[str, msgspec.Meta(max_length=64)]
    reply_to: Annotated[str, msgspec.Meta(pattern=r"^straightline\.reply\.[0-9A-Za-z._-]{1,128}$(?!\n)")]
    correlation_id: Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z-]{1,64}$(?!\n)")]


class StatusReply(msgspec.Struct, kw_only=True, omit_defaults=True, rename={"class_": "class"}):
    """Where a request is, as far as who answers knows; what is absent he does not know.

    Attributes:
        id: of the request.
        state: how far it came; None where it has ended, or is not known.
        model, version, class_: which model answers, and of which class it is.
        backend: which one has it.
        worker: the Celery worker's node name, where it is in work.
        attempts: placements that were tried or are under way.
        failed: those that were tried.
        reason: why the one under way is where it is.
        held_reason: why no backend has it now.
        held_since, placed_at, started_at, deadline: seconds since the epoch.
    """

    id: str
    state: Stage | None = None
    model: str | None = None
    version: str | None = None
    class_: RequestClass | None = None
    backend: Backend | None = None
    worker: str | None = None
    attempts: int = 0
    failed: list[Attempt] = []
    reason: Reason | None = None
    held_reason: str | None = None
    held_since: float | None = None
    placed_at: float | None = None
    started_at: float | None = None
    deadline: float | None = None


def decode_status_query(body: bytes) -> StatusQuery:
    """Return the question, whose id is in its canonical form.

    Raises:
        ContractError: it is none.
    """
    if len(body) > MAX_QUERY_BYTES:
        raise ContractError(f"it has {len(body)} bytes, the limit is {MAX_QUERY_BYTES}")
    try:
        question = decode(body, StatusQuery)
    except ContractError as error:
        raise ContractError(str(error)) from error
    identity = canonical(question.id)
    if identity is None:
        raise ContractError("it names no UUID, as requests' ids are")
    question.id = identity
    return question
