"""Who reads the cancelled ids knows all of them before it says so."""

import json
import time
from collections.abc import Iterator

import pika
import pytest

from straightline import names
from straightline.amqp.consuming.cancellations import CancellationStream
from straightline.ids import new_id

pytestmark = pytest.mark.integration


@pytest.fixture
def channel(broker_url: str) -> Iterator[pika.adapters.blocking_connection.BlockingChannel]:
    connection = pika.BlockingConnection(pika.URLParameters(broker_url))
    channel = connection.channel()
    channel.confirm_delivery()
    yield channel
    connection.close()


def read(url: str) -> list[str]:
    """Return what a reader knows at the moment when it has caught up."""
    found: list[str] = []
    reader = CancellationStream(url, name="test", on_id=found.append)
    reader.start()
    start = time.monotonic()
    reader.wait()
    assert time.monotonic() - start < 9, "it gave up"
    known = list(found)
    reader.close()
    return known


def test_a_reader_has_all_that_was_appended_before_it_came_and_each_reader_does(
    broker_url: str, channel: pika.adapters.blocking_connection.BlockingChannel
) -> None:
    assert read(broker_url) == []
    ids = [new_id() for _ in range(1_500)]
    for request_id in ids:
        channel.basic_publish(names.PLACEMENTS, names.CANCELLED_KEY, json.dumps({"id": request_id}))
    assert read(broker_url) == ids
    assert read(broker_url) == ids


def test_a_malformed_entry_is_skipped(
    broker_url: str, channel: pika.adapters.blocking_connection.BlockingChannel
) -> None:
    """Pools may write marks, and nothing that counts as a cancellation."""
    request_id = new_id()
    forged = json.dumps({"id": new_id()})
    channel.basic_publish(names.SIGNALS, names.MARK_KEY, forged)
    by_the_way_of_marks = pika.BasicProperties(headers={"CC": [names.MARK_KEY]})
    channel.basic_publish(names.SIGNALS, names.CANCELLED_KEY, forged, by_the_way_of_marks)
    for body in (b"", b"\xff", b"[]", b'{"id": 5}', json.dumps({"id": request_id}).encode()):
        channel.basic_publish(names.PLACEMENTS, names.CANCELLED_KEY, body)
    assert read(broker_url) == [request_id]


def test_a_mark_that_was_lost_is_written_again(
    broker_url: str, channel: pika.adapters.blocking_connection.BlockingChannel
) -> None:
    """Where the topology is being declared, the stream may be there before the binding that marks take."""
    channel.queue_unbind(names.CANCELLED_STREAM, names.SIGNALS, names.MARK_KEY)
    reader = CancellationStream(broker_url, name="test", on_id=lambda _: None)
    reader.start()
    with pytest.raises(AssertionError, match="not caught up"):
        await_end(reader, 2)
    channel.queue_bind(names.CANCELLED_STREAM, names.SIGNALS, names.MARK_KEY)
    await_end(reader, 20)
    reader.close()


def await_end(reader: CancellationStream, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while reader.synced_for() is None:
        assert time.monotonic() < deadline, "it has not caught up"
        time.sleep(0.01)
