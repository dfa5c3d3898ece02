"""Events that the scheduler core handles; structs, since one is made for each message."""

import msgspec

from scheduler.effects import Delivery
from straightline.contracts.deployed import Deployed


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """AMQP properties of a producer's message; `trace` and `trace_state` are W3C trace context."""

    reply_to: str | None = None
    correlation_id: str | None = None
    trace: str | None = None
    trace_state: str | None = None


NO_ENVELOPE = Envelope()


class Message(msgspec.Struct, frozen=True, gc=False):
    """A message from one of the input queues; the queue decides what it means."""

    delivery: Delivery
    body: bytes
    type: str | None = None
    envelope: Envelope = NO_ENVELOPE


class MessageFailed(msgspec.Struct, frozen=True):
    """Handling a message raised an exception."""

    message: Message
    error: Exception


class Signal(msgspec.Struct, frozen=True):
    """A transient message: heartbeat, feedback or breaker state, by its routing key."""

    key: str
    body: bytes


class RequestCancelled(msgspec.Struct, frozen=True):
    """An entry of the cancellation stream, written by this scheduler or an earlier one."""

    request_id: str


class RegistryChanged(msgspec.Struct, frozen=True):
    """A new state of the model registry. Requests placed or held before keep their version."""

    deployed: Deployed


class LeadershipChanged(msgspec.Struct, frozen=True):
    """This scheduler became the leader, or a standby."""

    leading: bool


class ConnectionLost(msgspec.Struct, frozen=True):
    """The consuming connection is gone: its messages will be delivered again, feedback was missed."""


class Drain(msgspec.Struct, frozen=True):
    """The scheduler stops: held requests go back to their queues."""


class Tick(msgspec.Struct, frozen=True):
    """Time passes: workers may have fallen silent, deadlines and holds may have ended."""


class StatusDue(msgspec.Struct, frozen=True):
    """It is time to look for status events to publish."""


class Wakeup(msgspec.Struct, frozen=True):
    """The time that `next_wakeup` named has come."""


Event = (
    Message
    | MessageFailed
    | Signal
    | RequestCancelled
    | RegistryChanged
    | LeadershipChanged
    | ConnectionLost
    | Drain
    | Tick
    | StatusDue
    | Wakeup
)
