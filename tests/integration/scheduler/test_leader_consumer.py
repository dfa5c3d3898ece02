"""One scheduler leads, and those that wait for its end are quiet about it."""

import logging
import time
from collections.abc import Callable, Iterator

import pika
import pytest

from scheduler.broker import leader_consumer
from scheduler.broker.leader_consumer import Handlers, LeaderConsumer
from straightline import names
from straightline.amqp.consuming import status_queries
from straightline.amqp.consuming.reply_queue import ReplyQueue
from tests.integration.modelkit.processes import until

pytestmark = pytest.mark.integration


@pytest.fixture
def heard() -> list[tuple[str, bytes]]:
    return []


@pytest.fixture
def start(broker_url: str, heard: list[tuple[str, bytes]]) -> Iterator[Callable[[], LeaderConsumer]]:
    started: list[LeaderConsumer] = []

    def run() -> LeaderConsumer:
        handlers = Handlers(
            signal=lambda *signal: heard.append(signal),
            message=lambda *_: None,
            leading=lambda: None,
            lost=lambda: None,
            ready=lambda: True,
        )
        made = LeaderConsumer(broker_url, {names.INTERACTIVE_QUEUE: 1}, handlers)
        made.link.start()
        started.append(made)
        return made

    yield run
    for made in started:
        made.link.stop(5)


def test_a_standby_takes_over_and_until_then_costs_the_brokers_log_a_line(
    start: Callable[[], LeaderConsumer], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(leader_consumer, "LOCK_POLL_INTERVAL_S", 0.02)
    leader = start()
    until(lambda: leader.leading, "the first leads")
    standby = start()
    with caplog.at_level(logging.WARNING, logger="pika.channel"):
        until(lambda: "RESOURCE_LOCKED" in caplog.text, "the second was refused")
        end = time.monotonic() + 1
        while time.monotonic() < end:
            assert not standby.leading
            time.sleep(0.02)
        # One more where it looked before the first had begun to consume.
        assert caplog.text.count("RESOURCE_LOCKED") <= 2
    leader.link.stop(5)
    until(lambda: standby.leading, "the second leads")


def test_a_question_is_a_question_whatever_key_it_has(
    start: Callable[[], LeaderConsumer], broker_url: str, heard: list[tuple[str, bytes]]
) -> None:
    """The broker delivers by the keys in `CC`, too."""
    asked: list[bytes] = []
    others: list[bytes] = []
    start()
    pool = ReplyQueue(
        broker_url,
        name="test",
        queue=f"{names.BREAKERS_QUEUE_PREFIX}test",
        exchange=names.SIGNALS,
        key=names.BREAKER_KEY,
        on_message=lambda _, body: others.append(body),
        also={names.HEARTBEAT_KEY: others.append, names.QUESTION_KEY: asked.append},
    )
    keys = [names.HEARTBEAT_KEY, names.BREAKER_KEY, "feedback", names.QUESTION_KEY]
    properties = pika.BasicProperties(headers={"CC": [names.QUESTION_KEY]})

    def ask() -> bool:
        """Until both are bound."""
        channel.basic_publish(names.QUESTIONS, names.QUESTION_KEY, b"")
        return bool(heard and asked)

    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        channel = connection.channel()
        until(ask, "questions are heard")
        for key in keys:
            channel.basic_publish(names.QUESTIONS, key, key.encode(), properties)
        wanted = {b"", *map(str.encode, keys)}
        until(lambda: {body for _, body in heard} == set(asked) == wanted, "all are heard")
    pool.close()
    assert {key for key, _ in heard} == {names.QUESTION_KEY}
    assert others == []


def test_a_broker_without_questions_keeps_nobody_from_leading_and_is_asked_again(
    start: Callable[[], LeaderConsumer],
    broker_url: str,
    heard: list[tuple[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(status_queries, "RETRY_INTERVAL_S", 0.05)
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        channel = connection.channel()
        channel.exchange_delete(names.QUESTIONS)
        leader = start()
        until(lambda: leader.leading, "it leads")
        until(lambda: "no questions can be heard" in caplog.text, "it says so")
        channel.exchange_declare(names.QUESTIONS, "direct", durable=True)

        def ask() -> bool:
            channel.basic_publish(names.QUESTIONS, names.QUESTION_KEY, b"")
            return bool(heard)

        until(ask, "questions are heard")
    assert leader.leading
    assert caplog.text.count("no questions can be heard") == 1
