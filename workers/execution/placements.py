"""Reading a placement: the Celery task message (protocol 2) that the scheduler wrote. Pure.

Celery's worker trusts what it reads: a list for an id, two numbers missing from `timelimit` or a fourth item
in the body raise deep inside it and stop the process, and the message comes back to stop the next one. So
everything that is used is checked here first, and nothing else of the message is passed on.

Source of the form: Celery's message protocol, version 2.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec

from straightline.contracts import Request, Ticket
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError
from straightline.ids import canonical
from straightline.names import PREDICT_TASK

MAX_REPR_CHARS: Final = 1024
"""Characters of `argsrepr` that are passed on to events and logs."""


class Work(msgspec.Struct, frozen=True):
    """One request of a placement, with its history."""

    ticket: Ticket
    request: Request


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """A placement as read: 1..n requests, an id, and the redacted words that stand for them."""

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


class _Body(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """`[args, kwargs, embed]`: one argument, no keyword, no callback, chain or chord."""

    args: tuple[Annotated[list[Ticket], msgspec.Meta(min_length=1)]]
    kwargs: Annotated[dict[str, Any], msgspec.Meta(max_length=0)]
    embed: dict[str, None] | None


def read_placement(
    headers: Mapping[str, Any], content_type: str | None, content_encoding: str | None, body: Any
) -> Placement:
    """Read a task message.

    Args:
        headers: of the message.
        content_type: must be `application/json`.
        content_encoding: must be UTF-8, or absent.
        body: bytes or text.

    Raises:
        ContractError: it is not a placement; the message says what is wrong and never repeats the body.
    """
    if content_type != "application/json" or (content_encoding or "utf-8").lower() not in ("utf-8", "utf8"):
        raise ContractError("a placement is JSON in UTF-8, and nothing else is decoded")
    try:
        known = msgspec.convert(dict(headers), _Headers)
        (tickets,) = decode(body, _Body).args
        work = [Work(ticket, _request(ticket)) for ticket in tickets]
    except (ContractError, msgspec.ValidationError, TypeError, ValueError) as error:
        raise ContractError(f"not a placement: {error}") from error
    if known.task != PREDICT_TASK:
        raise ContractError("the task is unknown here")
    words = known.argsrepr or f"{len(work)} requests of {work[0].request.model}"
    return Placement(id=known.id, argsrepr=words[:MAX_REPR_CHARS], work=work)


def _request(ticket: Ticket) -> Request:
    """Read a ticket's request, whose id is from now on what the scheduler and cancellations call it."""
    request = decode(ticket.request, Request)
    identity = canonical(request.id)
    if identity is None:
        raise ValueError("the id of a request is not a UUID")
    request.id = identity
    return request
