"""Taking the table of headers out of a content header frame."""

import struct
from typing import Any

import pika
from hypothesis import given
from hypothesis import strategies as st

from straightline.amqp.connection.header_repair import strip_headers

SHORT = st.text(max_size=60).filter(lambda text: len(text.encode()) < 255)
OTHERS = st.fixed_dictionaries(
    {},
    optional={
        "content_type": SHORT,
        "content_encoding": SHORT,
        "delivery_mode": st.sampled_from((1, 2)),
        "priority": st.integers(0, 255),
        "correlation_id": SHORT,
        "reply_to": SHORT,
        "expiration": SHORT,
        "message_id": SHORT,
        "timestamp": st.integers(0, 2**63),
        "type": SHORT,
        "app_id": SHORT,
    },
)


def payload(properties: pika.BasicProperties, size: int = 7) -> bytes:
    return struct.pack(">HHQ", pika.BasicProperties.INDEX, 0, size) + b"".join(properties.encode())


@given(OTHERS, st.dictionaries(SHORT, st.integers(0, 99) | SHORT, min_size=1, max_size=5))
def test_all_other_properties_stay(others: dict[str, Any], headers: dict[str, Any]) -> None:
    found = strip_headers(payload(pika.BasicProperties(headers=headers, **others)))
    assert found == payload(pika.BasicProperties(**others))


@given(OTHERS)
def test_without_headers_there_is_nothing_to_take_out(others: dict[str, Any]) -> None:
    assert strip_headers(payload(pika.BasicProperties(**others))) is None


@given(st.binary(max_size=64))
def test_a_damaged_payload_is_not_repaired(junk: bytes) -> None:
    found = strip_headers(junk)
    assert found is None or len(found) < len(junk)
