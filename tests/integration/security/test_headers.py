"""Headers that cannot be read cost nothing but themselves; by itself pika loses the connection."""

import queue
from collections.abc import Iterator
from typing import Any

import pika
import pytest

from straightline import names
from straightline.amqp.consuming.reply_queue import ReplyQueue
from tests.events import logged
from tests.integration.security.raw_headers import HARMFUL, RawProperties

pytestmark = pytest.mark.integration


@pytest.fixture
def channel(broker_url: str) -> Iterator[Any]:
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel


def test_components_read_a_message_without_its_undecodable_headers(
    channel: Any, broker_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    got: queue.Queue[tuple[str | None, bytes]] = queue.Queue()
    inbox = ReplyQueue(
        broker_url, name="test", queue="me", exchange=names.REPLIES, on_message=lambda *a: got.put(a)
    )
    try:
        inbox.wait_ready(20)
        for name, table in HARMFUL.items():
            channel.basic_publish(
                names.REPLIES, "me", name.encode(), RawProperties(table, correlation_id=name)
            )
            assert got.get(timeout=20) == (name, name.encode())
    finally:
        inbox.close()
    assert len(logged(caplog, "message_headers_dropped")) == len(HARMFUL)
    assert not logged(caplog, "amqp_thread_failed")
