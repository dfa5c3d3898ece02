"""What the scheduler owes the broker: an input is acknowledged when all that it caused is confirmed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True, eq=False)
class Delivery:
    """A message taken from a queue and not yet acknowledged.

    Attributes:
        queue: where it came from.
        epoch: which consuming connection brought it; a tag means nothing on another one.
        tag: its delivery tag there.
        message_id: the AMQP property; it tells a redelivery of the same message from another one.
        redelivered: whether the broker has delivered it before.
        pending: outputs that are not confirmed yet, and holds.
    """

    queue: str
    epoch: int
    tag: int
    message_id: str | None = None
    redelivered: bool = False
    pending: int = 0


@dataclass(slots=True, eq=False)
class Publish:
    """A message to be published; every one of them is persistent and confirmed."""

    exchange: str
    key: str
    body: bytes
    type: str
    causes: Sequence[Delivery]
    message_id: str
    correlation_id: str | None = None
    headers: dict[str, Any] = field(default_factory=dict)
    mandatory: bool = True


class PendingEffects:
    """What is still to be done on the broker: publishes, and acknowledgements, in order."""

    def __init__(self) -> None:
        self._publishes: list[Publish] = []
        self._acks: list[Delivery] = []

    def send(self, publish: Publish) -> None:
        """Queue a publish; its causes stay open until it is confirmed."""
        for cause in publish.causes:
            cause.pending += 1
        self._publishes.append(publish)

    def confirmed(self, publish: Publish) -> None:
        """The broker has it: what caused it may be acknowledged, if nothing else is open."""
        for cause in publish.causes:
            self.close(cause)

    def close(self, delivery: Delivery) -> None:
        """Take one open reason from a delivery; the last one acknowledges it."""
        delivery.pending -= 1
        if delivery.pending == 0:
            self._acks.append(delivery)

    def acknowledge(self, delivery: Delivery) -> None:
        """Acknowledge a delivery that causes nothing."""
        self._acks.append(delivery)

    def take_publishes(self) -> list[Publish]:
        """Return the publishes queued since the last call."""
        taken, self._publishes = self._publishes, []
        return taken

    def take_acks(self) -> list[Delivery]:
        """Return the deliveries to acknowledge since the last call, each once."""
        taken, self._acks = self._acks, []
        return list({(delivery.epoch, delivery.tag): delivery for delivery in taken}.values())
