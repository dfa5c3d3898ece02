"""The `Prefer` header."""

import pytest

from gateway.http.rendering.prefer import parse_prefer


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        (None, None),
        ("wait=5", None),
        ("respond-async", 0.0),
        ("respond-async, wait=10", 10.0),
        ('wait="3" , RESPOND-ASYNC', 3.0),
        ("respond-async, wait=-1", 0.0),
        ("handling=lenient; x, ,=", None),
    ],
)
def test_respond_async_and_wait_are_parsed(header: str | None, wait: float | None) -> None:
    assert parse_prefer(header).wait == wait
