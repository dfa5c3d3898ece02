"""The W3C trace context that travels with a request, so that its work joins the producer's trace.

Where the process uses OpenTelemetry the current context is taken; StraightLine does not depend on it.
"""

import re
import sys
from collections.abc import Mapping
from typing import Any, Final

from straightline.errors import ContractError

PARENT: Final = "traceparent"
STATE: Final = "tracestate"
MAX_STATE_CHARS: Final = 512
"""Characters of `tracestate` that must be passed on; a longer one is left out, as the standard allows."""

_PARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_MEMBER: Final = r"[ \t]*(?:[a-z0-9][a-z0-9_\-*/@]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{1,256})?[ \t]*"
_STATE: Final = re.compile(rf"(?=.*=){_MEMBER}(?:,{_MEMBER}){{0,31}}")


def headers(given: Mapping[str, str] | None) -> dict[str, Any] | None:
    """Return the AMQP headers that carry a trace context, or None where there is none.

    Args:
        given: `traceparent` and, where there is one, `tracestate`, as OpenTelemetry's `inject` writes them;
            None takes the current context, and an empty mapping none at all.

    Raises:
        ContractError: what was given is no trace context.
    """
    if given is None:
        # Nobody can have set a context who has not imported this.
        return _current() if "opentelemetry.trace" in sys.modules else None
    if not given:
        return None
    parent, state = given.get(PARENT), given.get(STATE)
    if not isinstance(parent, str) or not _PARENT.fullmatch(parent):
        raise ContractError(
            "trace needs a traceparent such as 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            error_class="wrong_type",
        )
    if state is not None and not isinstance(state, str):
        raise ContractError("tracestate is a text", error_class="wrong_type")
    return _headers(parent, state)


def received(given: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return `traceparent` and `tracestate` among a message's headers; what is malformed counts as absent."""
    parent, state = given.get(PARENT), given.get(STATE)
    if not isinstance(parent, str) or not _PARENT.fullmatch(parent):
        return None, None  # a state says nothing by itself
    usable = isinstance(state, str) and len(state) <= MAX_STATE_CHARS and _STATE.fullmatch(state)
    return parent, state if usable else None


def _current() -> dict[str, Any] | None:
    from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415 - optional
        TraceContextTextMapPropagator,
    )

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    parent = carrier.get(PARENT)
    return None if parent is None else _headers(parent, carrier.get(STATE))


def _headers(parent: str, state: str | None) -> dict[str, Any]:
    if not state or len(state) > MAX_STATE_CHARS:
        return {PARENT: parent}
    return {PARENT: parent, STATE: state}
