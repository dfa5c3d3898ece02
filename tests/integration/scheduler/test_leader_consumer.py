"""One scheduler leads, and those that wait for its end are quiet about it."""

import logging
import time
from collections.abc import Callable, Iterator

import pytest

from scheduler.broker import leader_consumer
from scheduler.broker.leader_consumer import Handlers, LeaderConsumer
from straightline import names
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
