"""What becomes of a message that the broker does not take; no broker is needed for these tests."""

from collections.abc import Callable
from typing import Any

import pytest

from scheduler.broker.effect_runner import EffectRunner
from scheduler.effects import NO_EFFECTS, Effects, PendingEffects, Send
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts import StatusEvents
from straightline.errors import BrokerUnavailable
from straightline.messages.signals import status_events_message
from straightline.names import PLACEMENTS


class RefusingPublisher:
    """Fails every message at once."""

    def __init__(self) -> None:
        self.tried = 0

    def send(self, _message: Outgoing, settled: Callable[[Exception | None], None]) -> None:
        self.tried += 1
        settled(BrokerUnavailable("the broker has no such exchange"))


@pytest.mark.parametrize(
    ("message", "retried"),
    [
        (status_events_message(StatusEvents(at=1.0, leader=True)), False),
        (Outgoing(PLACEMENTS, "local", b"{}"), True),
    ],
    ids=["status events, which later ones replace", "a placement"],
)
def test_only_messages_that_count_are_published_again(message: Outgoing, retried: bool) -> None:
    publisher, later = RefusingPublisher(), list[Callable[[], None]]()
    confirmed = list[Send]()

    def confirm(send: Send) -> Effects:
        confirmed.append(send)
        return NO_EFFECTS

    anything: Any = publisher
    runner = EffectRunner(anything, confirm, lambda _seconds, call: later.append(call), lambda: None)
    effects = PendingEffects()
    effects.send(message)
    runner.add(effects.take())
    runner.publish()
    for call in list(later):
        call()
    assert publisher.tried == (2 if retried else 1)
    assert bool(later) == retried
    assert bool(confirmed) != retried
    assert runner.unconfirmed == (1 if retried else 0)
