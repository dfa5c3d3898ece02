"""The W3C trace context of a request, which joins its work to the producer's trace.

By default OpenTelemetry's current context is used, if the process uses it; StraightLine does not depend on
it.
"""

import re
import sys
from collections.abc import Mapping
from typing import Any, Final

from straightline.errors import ContractError

PARENT: Final = "traceparent"
STATE: Final = "tracestate"
MAX_STATE_CHARS: Final = 512
"""Of `tracestate`; a longer one is dropped, as the standard allows."""

_PARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_MEMBER: Final = r"[ \t]*(?:[a-z0-9][a-z0-9_\-*/@]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{1,256})?[ \t]*"
_STATE: Final = re.compile(rf"(?=.*=){_MEMBER}(?:,{_MEMBER}){{0,31}}")


def headers(given: Mapping[str, str] | None) -> dict[str, Any] | None:
    """Return the AMQP headers with a trace context, or None.

    Args:
        given: `traceparent` and optionally `tracestate`, as written by OpenTelemetry's `inject`; None takes
            the current context, an empty mapping sends none.

    Raises:
        ContractError: `given` is not a trace context.
    """
    if given is None:
        # Without this module no context can have been set.
        return _current() if "opentelemetry.trace" in sys.modules else None
    if not given:
        return None
    parent, state = given.get(PARENT), given.get(STATE)
    if not isinstance(parent, str) or not _PARENT.fullmatch(parent):
        raise ContractError(
            "trace is invalid: it needs a traceparent such as "
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            error_class="wrong_type",
        )
    if state is not None and not isinstance(state, str):
        raise ContractError("tracestate is invalid: it must be a text", error_class="wrong_type")
    return _headers(parent, state)


def received(given: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return `traceparent` and `tracestate` of a message's headers; malformed values count as absent."""
    parent, state = given.get(PARENT), given.get(STATE)
    if not isinstance(parent, str) or not _PARENT.fullmatch(parent):
        return None, None  # a state without a parent has no meaning
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
