"""Placements, decoded from the scheduler's Celery task messages (message protocol, version 2).

Celery's worker trusts its messages: a list for an id, a `timelimit` that is too short or a fourth item in the
body raise deep inside Celery and stop the process; the redelivered message then stops the next worker. So
each field that is used is checked here first, and Celery gets nothing else of the message.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec

from straightline.contracts import Request, Ticket
from straightline.contracts.parsing.decoding import decode
from straightline.contracts.placement import decode_placement
from straightline.errors import ContractError
from straightline.ids import canonical
from straightline.names import PREDICT_TASK

MAX_REPR_CHARS: Final = 1024
"""A longer `argsrepr` is cut for events and logs."""


class Work(msgspec.Struct, frozen=True):
    """One request of a placement, with its history."""

    ticket: Ticket
    request: Request


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """A decoded placement.

    Attributes:
        id: of the task message.
        argsrepr: a description of the requests for events and logs, without payloads.
        work: the requests, at least one.
    """

    id: str
    argsrepr: str
    work: list[Work]


class _Headers(msgspec.Struct, frozen=True):
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    task: str
    argsrepr: str | None = None
    timelimit: tuple[float | None, float | None] | None = None
    eta: None = None
    expires: None = None


def read_placement(
    headers: Mapping[str, Any], content_type: str | None, content_encoding: str | None, body: Any
) -> Placement:
    """Decode a task message.

    Args:
        headers: of the message.
        content_type: must be `application/json`.
        content_encoding: must be UTF-8, or absent.
        body: bytes or text.

    Raises:
        ContractError: the message is not a placement. The error never repeats the body.
    """
    if content_type != "application/json" or (content_encoding or "utf-8").lower() not in ("utf-8", "utf8"):
        raise ContractError("not a placement: its content type must be application/json in UTF-8")
    try:
        known = msgspec.convert(dict(headers), _Headers)
        work = [Work(ticket, _request(ticket)) for ticket in decode_placement(body)]
    except (ContractError, msgspec.ValidationError, TypeError, ValueError) as error:
        raise ContractError(f"not a placement: {error}") from error
    if known.task != PREDICT_TASK:
        raise ContractError(f"not a placement: the task is not {PREDICT_TASK}")
    argsrepr = known.argsrepr or f"{len(work)} requests of {work[0].request.model}"
    return Placement(id=known.id, argsrepr=argsrepr[:MAX_REPR_CHARS], work=work)


def _request(ticket: Ticket) -> Request:
    """Decode a ticket's request, with its id in the canonical form that cancellations use."""
    request = decode(ticket.request, Request)
    identity = canonical(request.id)
    if identity is None:
        raise ValueError("the id of a request is not a UUID")
    request.id = identity
    return request
