"""What must never be written to a channel, and whom a channel's end is blamed on."""

from typing import Any

import pytest

from straightline.amqp.publishing.channel_errors import errors_by_tag
from straightline.amqp.publishing.outgoing import SERIAL_HEADER, Outgoing, invalid_reason
from straightline.errors import Rejected, Unroutable


def message(**changes: Any) -> Outgoing:
    return Outgoing(
        **({"exchange": "straightline.requests", "routing_key": "batch", "body": b"{}"} | changes)
    )


def test_an_ordinary_message_is_let_through() -> None:
    assert invalid_reason(message(headers={"a": 1, "b": "x", "c": None}, message_id="m" * 255)) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"body": b"x" * 101}, "by reference"),
        ({"routing_key": "k" * 256}, "routing_key is longer"),
        ({"message_id": "ä" * 128}, "message_id is longer"),
        ({"type": "t" * 300}, "type is longer"),
        ({"headers": {"a": object()}}, "headers cannot be encoded"),
        ({"headers": {"a": "x" * 120_000}}, "put large values into the body"),
    ],
)
def test_a_message_that_would_close_the_connection_is_refused_with_the_fix(changes: Any, words: str) -> None:
    assert words in (invalid_reason(message(**changes), 100) or "")


def test_only_a_mandatory_message_carries_a_serial_and_own_headers_stay() -> None:
    assert message(headers={"a": 1}).properties(7).headers == {"a": 1, SERIAL_HEADER: 7}
    assert message(mandatory=False).properties(7).headers is None


def test_a_missing_exchange_is_blamed_on_the_messages_to_it_alone() -> None:
    out = {1: message(), 2: message(exchange="nowhere"), 3: message(exchange="now")}
    guilty = errors_by_tag(404, "NOT_FOUND - no exchange 'nowhere' in vhost '/'", out)
    assert list(guilty) == [2]
    assert isinstance(guilty[2], Unroutable)


def test_a_missing_permission_is_blamed_on_the_messages_to_that_exchange() -> None:
    text = "ACCESS_REFUSED - access to exchange 'nowhere' in vhost '/' refused for user 'worker'"
    guilty = errors_by_tag(403, text, {1: message(), 2: message(exchange="nowhere")})
    assert list(guilty) == [2]
    assert isinstance(guilty[2], Rejected)


def test_a_size_limit_of_the_broker_is_blamed_on_the_message_of_that_size() -> None:
    text = "PRECONDITION_FAILED - message size 300 is larger than configured max size 200"
    assert list(errors_by_tag(406, text, {1: message(), 2: message(body=b"x" * 300)})) == [2]


def test_no_message_is_blamed_without_evidence() -> None:
    assert errors_by_tag(541, "INTERNAL_ERROR", {1: message()}) == {}
