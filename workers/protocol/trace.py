"""The W3C trace context of the current thread's backend call."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final

from straightline.contracts import Ticket
from straightline.tracing import PARENT, STATE, received

_NONE: Final[Mapping[str, str]] = MappingProxyType({})
_CURRENT: Final[ContextVar[Mapping[str, str]]] = ContextVar("trace", default=_NONE)


def current_headers() -> Mapping[str, str]:
    """Return the trace headers of the current call; empty if it belongs to no trace."""
    return _CURRENT.get()


@contextmanager
def trace_scope(tickets: Iterable[Ticket]) -> Iterator[None]:
    """Run a call in the trace of its requests; a shared call joins the first request's that has one."""
    token = _CURRENT.set(next((_headers(ticket) for ticket in tickets if ticket.trace is not None), _NONE))
    try:
        yield
    finally:
        _CURRENT.reset(token)


def _headers(ticket: Ticket) -> dict[str, str]:
    # Validated again: an older scheduler may have passed on what it had not checked.
    parent, state = received({PARENT: ticket.trace, STATE: ticket.trace_state})
    headers = {PARENT: parent, STATE: state}
    return {name: value for name, value in headers.items() if value is not None}
