"""The W3C trace context of the call that a thread makes now, for whoever sends it on."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final

from straightline.contracts import Ticket
from straightline.tracing import PARENT, STATE, received

_NONE: Final[Mapping[str, str]] = MappingProxyType({})
_NOW: Final[ContextVar[Mapping[str, str]]] = ContextVar("trace", default=_NONE)


def now() -> Mapping[str, str]:
    """Return the headers that carry the trace of the present call; none where it belongs to none."""
    return _NOW.get()


@contextmanager
def trace_scope(tickets: Iterable[Ticket]) -> Iterator[None]:
    """Make a call for these requests; for several it joins the trace of the first that has one."""
    token = _NOW.set(next((_headers(ticket) for ticket in tickets if ticket.trace is not None), _NONE))
    try:
        yield
    finally:
        _NOW.reset(token)


def _headers(ticket: Ticket) -> dict[str, str]:
    # Looked at once more: a ticket of an older scheduler may hold what was never looked at.
    parent, state = received({PARENT: ticket.trace, STATE: ticket.trace_state})
    given = {PARENT: parent, STATE: state}
    return {name: value for name, value in given.items() if value is not None}
