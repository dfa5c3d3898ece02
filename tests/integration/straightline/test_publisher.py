"""Publishing to a real broker: confirms, returns, refusals, and lost connections."""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any

import pika
import pytest

from script.stack.services.admin import BrokerAdmin
from straightline import names
from straightline.amqp import Outgoing, Publisher
from straightline.errors import BrokerUnavailable, Rejected, Unroutable

pytestmark = pytest.mark.integration

PATIENCE = 60


def message(number: int = 0, **changes: Any) -> Outgoing:
    return Outgoing(
        **(
            {
                "exchange": names.REQUESTS,
                "routing_key": "batch",
                "body": b"%d" % number,
                "type": names.TYPE_REQUEST,
                "message_id": f"m{number}",
            }
            | changes
        )
    )


def errors(futures: list[Future[None]]) -> list[BaseException | None]:
    return [future.exception(timeout=PATIENCE) for future in futures]


def drain(url: str, queue: str) -> list[bytes]:
    """Everything that stands in the queue, oldest first: read up to a message put behind it."""
    bodies: list[bytes] = []
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish("", queue, b"end")
        for _, _, body in channel.consume(queue, auto_ack=True):
            if body == b"end":
                channel.cancel()
                return bodies
            bodies.append(body)
    raise AssertionError("the queue ended before its end")


def on_channel(url: str, act: Callable[[Any], object]) -> None:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        act(connection.channel())


def test_confirmed_messages_are_in_the_queue_in_order(broker_url: str) -> None:
    with Publisher(broker_url, name="test") as publisher:
        futures = [publisher.publish(message(number)) for number in range(3_000)]
        assert errors(futures) == [None] * 3_000
    assert drain(broker_url, names.BATCH_QUEUE) == [b"%d" % number for number in range(3_000)]


def test_the_properties_arrive_as_they_were_given(broker_url: str) -> None:
    with Publisher(broker_url, name="test") as publisher:
        publisher.publish(
            message(7, correlation_id="c", reply_to="r", headers={"traceparent": "00-x"})
        ).result(PATIENCE)
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        _, properties, body = next(connection.channel().consume(names.BATCH_QUEUE, auto_ack=True))
    assert body == b"7"
    assert (properties.message_id, properties.correlation_id, properties.reply_to) == ("m7", "c", "r")
    assert (properties.type, properties.delivery_mode) == (names.TYPE_REQUEST, 2)
    assert properties.content_type == "application/json"
    assert properties.headers["traceparent"] == "00-x"


def test_an_unroutable_message_fails_alone(broker_url: str) -> None:
    with Publisher(broker_url, name="test") as publisher:
        futures = [
            publisher.publish(message(number, routing_key="batch" if number % 7 else "nowhere"))
            for number in range(1_000)
        ]
        found = errors(futures)
    assert [number for number, error in enumerate(found) if isinstance(error, Unroutable)] == [
        *range(0, 1_000, 7)
    ]
    assert sum(error is None for error in found) == 1_000 - len(range(0, 1_000, 7))
    assert len(drain(broker_url, names.BATCH_QUEUE)) == 1_000 - len(range(0, 1_000, 7))


def test_without_the_topology_a_message_is_unroutable_and_the_others_get_through(broker_url: str) -> None:
    on_channel(broker_url, lambda channel: channel.exchange_delete(names.SIGNALS))
    with Publisher(broker_url, name="test") as publisher:
        futures = [
            publisher.publish(message(number, exchange=names.SIGNALS if number == 150 else names.REQUESTS))
            for number in range(300)
        ]
        found = errors(futures)
    assert [number for number, error in enumerate(found) if error is not None] == [150]
    assert isinstance(found[150], Unroutable)
    assert "python -m broker_config" in str(found[150])
    assert {int(body) for body in drain(broker_url, names.BATCH_QUEUE)} == set(range(300)) - {150}


def test_a_message_that_is_not_mandatory_needs_no_queue(broker_url: str) -> None:
    with Publisher(broker_url, name="test") as publisher:
        publisher.publish(message(routing_key="nowhere", mandatory=False)).result(PATIENCE)


def test_a_message_to_a_full_queue_is_rejected(broker_url: str) -> None:
    arguments = {"x-max-length": 2, "x-overflow": "reject-publish", "x-queue-type": "quorum"}
    on_channel(
        broker_url,
        lambda channel: (
            channel.queue_declare("small", durable=True, arguments=arguments),
            channel.queue_bind("small", names.REQUESTS, "small"),
        ),
    )
    with Publisher(broker_url, name="test") as publisher:
        found: list[BaseException | None] = []
        for number in range(50):  # the limit of a quorum queue is approximate: it fills after a few more
            found += errors([publisher.publish(message(number, routing_key="small"))])
        assert isinstance(found[-1], Rejected)
        assert sum(error is None for error in found) < 50
        on_channel(broker_url, lambda channel: channel.queue_purge("small"))
        assert errors([publisher.publish(message(routing_key="small"))]) == [None], "there is room again"


def test_an_oversized_message_is_rejected_alone(broker_url: str) -> None:
    with Publisher(broker_url, name="test", max_body=1_000) as publisher:
        futures = [publisher.publish(message(number)) for number in range(10)]
        large = publisher.publish(message(body=b"x" * 1_001))
        odd = publisher.publish(message(routing_key="\ud800"))
        futures += [publisher.publish(message(number)) for number in range(10, 20)]
        assert errors(futures) == [None] * 20
        assert isinstance(large.exception(PATIENCE), Rejected)
        assert isinstance(odd.exception(PATIENCE), Rejected)


def test_a_body_of_many_frames_arrives_complete(broker_url: str) -> None:
    body = bytes(range(256)) * 8_000
    with Publisher(broker_url, name="test") as publisher:
        assert errors([publisher.publish(message(body=body)) for _ in range(3)]) == [None] * 3
    assert drain(broker_url, names.BATCH_QUEUE) == [body] * 3


def test_many_threads_share_a_publisher_and_each_keeps_its_order(broker_url: str) -> None:
    with Publisher(broker_url, name="test", window=64) as publisher:
        found: list[BaseException | None] = []

        def work(thread: int) -> None:
            futures = [publisher.publish(message(thread * 1_000 + number)) for number in range(500)]
            found.extend(errors(futures))

        threads = [threading.Thread(target=work, args=(each,)) for each in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    assert found == [None] * 3_000
    numbers = [int(body) for body in drain(broker_url, names.BATCH_QUEUE)]
    for thread_number in range(6):
        mine = [number for number in numbers if number // 1_000 == thread_number]
        assert mine == [thread_number * 1_000 + number for number in range(500)]


def test_publishing_from_a_callback_does_not_block(broker_url: str) -> None:
    with Publisher(broker_url, name="test", window=1) as publisher:
        second: Future[Future[None]] = Future()
        publisher.publish(message(1)).add_done_callback(
            lambda _: second.set_result(publisher.publish(message(2)))
        )
        second.result(PATIENCE).result(PATIENCE)
    assert drain(broker_url, names.BATCH_QUEUE) == [b"1", b"2"]


def test_connections_closed_by_the_broker_lose_nothing(broker_url: str, broker_admin: BrokerAdmin) -> None:
    vhost = broker_url.rpartition("/")[2]
    futures: list[Future[None]] = []
    stop = threading.Event()
    with Publisher(broker_url, name="test", window=512) as publisher:

        def work() -> None:
            while not stop.is_set():
                futures.append(publisher.publish(message(len(futures))))

        thread = threading.Thread(target=work)
        thread.start()
        try:
            for _ in range(2):
                wait([publisher.publish(message(0, routing_key="interactive"))], timeout=PATIENCE)
                broker_admin.ctl("close_all_connections", "--vhost", vhost, "test")
        finally:
            stop.set()
            thread.join(PATIENCE)
        assert errors(futures) == [None] * len(futures)
    stand = [int(body) for body in drain(broker_url, names.BATCH_QUEUE)]
    assert set(stand) == set(range(len(futures))), "each at least once"
    firsts = list(dict.fromkeys(stand))
    assert firsts == sorted(firsts), "first copies are in order"


def test_an_unexpected_fault_on_its_thread_costs_a_connection_and_nothing_else(broker_url: str) -> None:
    def stumble() -> None:
        raise ZeroDivisionError("a fault of ours")

    with Publisher(broker_url, name="test") as publisher:
        futures = [publisher.publish(message(number)) for number in range(500)]
        publisher._connection.call(stumble)
        futures += [publisher.publish(message(number)) for number in range(500, 1_000)]
        assert errors(futures) == [None] * 1_000
    assert {int(body) for body in drain(broker_url, names.BATCH_QUEUE)} == set(range(1_000))


def test_input_of_an_abandoned_connection_is_ignored(broker_url: str) -> None:
    """The broker's consent to confirms comes on a connection that a fault has cost meanwhile."""
    publisher = Publisher(broker_url, name="test", confirm_timeout=5)
    link, setup = publisher._connection, publisher._connection._on_channel

    def stumble() -> None:
        raise ZeroDivisionError("a fault of ours")

    def opened(channel: Any) -> None:
        link._on_channel = setup
        setup(channel)
        link.call(stumble)

    link._on_channel = opened
    with publisher:
        futures = [publisher.publish(message(number)) for number in range(100)]
        assert errors(futures) == [None] * 100
    assert sorted(int(body) for body in drain(broker_url, names.BATCH_QUEUE)) == list(range(100))


@pytest.mark.skipif(
    "STRAIGHTLINE_TEST_BROKER_URL" in os.environ, reason="it would block everybody else on a shared broker"
)
def test_a_broker_that_blocks_publishers_is_distinguished(broker_url: str, broker_admin: BrokerAdmin) -> None:
    with Publisher(broker_url, name="test", confirm_timeout=3) as publisher:
        publisher.publish(message(1)).result(PATIENCE)
        broker_admin.ctl("set_vm_memory_high_watermark", "absolute", "1")
        try:
            deadline = time.monotonic() + PATIENCE
            error = None
            while error is None and time.monotonic() < deadline:  # the alarm is raised a moment later
                error = publisher.publish(message(2)).exception(PATIENCE)
            assert isinstance(error, BrokerUnavailable)
            assert "memory" in str(error)
        finally:
            broker_admin.ctl("set_vm_memory_high_watermark", "0.4")
        publisher.publish(message(3)).exception(PATIENCE)
        publisher.publish(message(4)).result(PATIENCE)


def test_closing_waits_for_messages_in_flight(broker_url: str) -> None:
    publisher = Publisher(broker_url, name="test")
    futures = [publisher.publish(message(number)) for number in range(2_000)]
    publisher.close()
    assert all(future.done() for future in futures)
    assert errors(futures) == [None] * 2_000
