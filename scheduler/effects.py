"""Effects of the scheduler: messages to publish, deliveries to acknowledge, events to log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Self

from straightline.amqp.publishing.outgoing import Outgoing
from straightline.support.event_log import Field

NEVER_ACKED_EPOCH: Final = -1
"""Epoch of a delivery that must not be acknowledged."""

Level = Literal["info", "warning"]


@dataclass(slots=True, eq=False)
class Delivery:
    """A message taken from a queue and not yet acknowledged.

    Attributes:
        queue: the queue that it came from.
        epoch: number of the consuming connection; a tag is valid on its own connection only.
        tag: delivery tag on that connection.
        message_id: AMQP property; it identifies a redelivery of the same message.
        redelivered: whether the broker has delivered the message before.
        pending: references that `Ownership` objects hold; at 0 the delivery is acknowledged.
    """

    queue: str
    epoch: int
    tag: int
    message_id: str | None = None
    redelivered: bool = False
    pending: int = 0

    def disown(self) -> None:
        """Never acknowledge this delivery: another one has its tag, or its processing failed."""
        self.epoch = NEVER_ACKED_EPOCH


class Ownership:
    """References to deliveries, which delay their acknowledgement until `release`.

    This class and its subclass alone count references. Leaving the `with` block releases. A second release
    has no effect.
    """

    __slots__ = ("_acks", "deliveries")

    def __init__(self, acks: list[Delivery], deliveries: Sequence[Delivery]) -> None:
        self._acks = acks
        self.deliveries = deliveries
        for delivery in deliveries:
            delivery.pending += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, _error: object, _trace: object) -> None:
        self.release()

    def release(self) -> None:
        """Give up all references; a delivery without any is acknowledged."""
        deliveries, self.deliveries = self.deliveries, ()
        for delivery in deliveries:
            delivery.pending -= 1
            if not delivery.pending:
                self._acks.append(delivery)

    def abandon(self) -> None:
        """Drop the references without an acknowledgement: the broker delivers the messages again."""
        self.deliveries = ()


class GrowingOwnership(Ownership):
    """References to deliveries that are added one by one."""

    __slots__ = ("_added",)

    def __init__(self, acks: list[Delivery]) -> None:
        self._added: list[Delivery] = []
        super().__init__(acks, self._added)

    def add(self, delivery: Delivery) -> None:
        """Take a reference to one more delivery."""
        delivery.pending += 1
        self._added.append(delivery)

    def absorb(self, other: "GrowingOwnership") -> None:
        """Take over the references of another owner."""
        self._added += other._added  # noqa: SLF001 - of its own class
        other.abandon()

    def release(self) -> None:
        """Give up all references; more can be added afterwards."""
        super().release()
        self.deliveries = self._added = []

    def abandon(self) -> None:
        """Drop the references without an acknowledgement."""
        self.deliveries = self._added = []


class Send:
    """A message to publish, and the deliveries that wait for its confirm."""

    __slots__ = ("outgoing", "owned")

    def __init__(self, outgoing: Outgoing, owned: Ownership) -> None:
        self.outgoing = outgoing
        self.owned = owned

    @property
    def causes(self) -> Sequence[Delivery]:
        """Deliveries that stay unacknowledged until the message is confirmed."""
        return self.owned.deliveries


class LogEvent(NamedTuple):
    """An event to log; see `straightline.support.event_log`."""

    level: Level
    name: str
    fields: Mapping[str, Field]


class Effects(NamedTuple):
    """Work for the broker connection.

    Attributes:
        send: messages to publish, in order; each is to be confirmed.
        ack: deliveries to acknowledge if their epoch is the current one; a tag may occur twice.
        log: events to log.
    """

    send: Sequence[Send]
    ack: Sequence[Delivery]
    log: Sequence[LogEvent]


NO_EFFECTS: Final = Effects((), (), ())


class PendingEffects:
    """Collects effects until the next `take`."""

    def __init__(self) -> None:
        self._sends: list[Send] = []
        self._acks: list[Delivery] = []  # one list for good: owners append to it
        self._events: list[LogEvent] = []

    def owning(self, *deliveries: Delivery) -> Ownership:
        """Take a reference to each delivery, as a context manager or to keep."""
        return Ownership(self._acks, deliveries)

    def growing(self) -> GrowingOwnership:
        """Return an owner without references, to which deliveries are added."""
        return GrowingOwnership(self._acks)

    def send(self, outgoing: Outgoing, *causes: Delivery) -> None:
        """Queue a message; its causes stay unacknowledged until the broker confirms it."""
        self._sends.append(Send(outgoing, Ownership(self._acks, causes)))

    def log(self, level: Level, event: str, /, **fields: Field) -> None:
        """Queue an event for the log."""
        self._events.append(LogEvent(level, event, fields))

    def take(self) -> Effects:
        """Return the effects collected since the last call."""
        if not (self._sends or self._acks or self._events):
            return NO_EFFECTS
        acks = [delivery for delivery in self._acks if delivery.epoch != NEVER_ACKED_EPOCH]
        effects = Effects(self._sends, acks, self._events)
        self._sends, self._events = [], []
        self._acks.clear()
        return effects
