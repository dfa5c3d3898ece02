"""The trace context that travels with a request."""

from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from straightline.errors import ContractError
from straightline.tracing import headers, received

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_given_trace_context_is_sent() -> None:
    assert headers({"traceparent": PARENT}) == {"traceparent": PARENT}
    both = {"traceparent": PARENT, "tracestate": "vendor=1"}
    assert headers(both | {"baggage": "x"}) == both


def test_the_current_context_of_opentelemetry_travels_by_itself() -> None:
    context = SpanContext(
        trace_id=0x0AF7651916CD43DD8448EB211C80319C,
        span_id=0xB7AD6B7169203331,
        is_remote=False,
        trace_flags=TraceFlags(1),
        trace_state=TraceState([("vendor", "1")]),
    )
    with trace.use_span(NonRecordingSpan(context)):
        assert headers(None) == {"traceparent": PARENT, "tracestate": "vendor=1"}
        assert headers({}) is None
    assert headers(None) is None


def test_a_state_that_is_too_long_to_pass_on_is_left_out() -> None:
    assert headers({"traceparent": PARENT, "tracestate": "x" * 513}) == {"traceparent": PARENT}


@pytest.mark.parametrize(
    "given",
    [
        {"tracestate": "a=1"},
        {"traceparent": ""},
        {"traceparent": PARENT + "\n"},
        {"traceparent": PARENT.upper()},
        {"traceparent": "ff" + PARENT[2:]},
        {"traceparent": f"00-{'0' * 32}-b7ad6b7169203331-01"},
        {"traceparent": f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01"},
        {"traceparent": 7},
        {"traceparent": PARENT, "tracestate": 7},
    ],
)
def test_an_invalid_trace_context_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(ContractError, match="trace"):
        headers(given)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"traceparent": PARENT, "tracestate": "vendor=1"}, (PARENT, "vendor=1")),
        ({"traceparent": PARENT, "tracestate": "a=1, t@b=x y,"}, (PARENT, "a=1, t@b=x y,")),
        ({"traceparent": PARENT}, (PARENT, None)),
        ({"tracestate": "vendor=1"}, (None, None)),
        ({}, (None, None)),
        *(
            ({"traceparent": parent, "tracestate": "vendor=1"}, (None, None))
            for parent in (7, b"\xff", "", "00-x", PARENT + "\n", PARENT.upper(), "ff" + PARENT[2:])
        ),
        *(
            ({"traceparent": PARENT, "tracestate": state}, (PARENT, None))
            for state in (7, "", "vendor", "a=1\r\nX-Other: 2", "a=\u00e9", "A=1", "a=" + "x" * 511)
        ),
    ],
)
def test_a_malformed_trace_context_is_dropped(
    given: dict[str, Any], found: tuple[str | None, str | None]
) -> None:
    assert received(given) == found
