"""Messages that may be lost, since a later one replaces them: signals and status events."""

import msgspec

from straightline import names
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts.signals import BreakerState, Feedback, Heartbeat
from straightline.contracts.status_events import StatusEvents


def heartbeat_message(heartbeat: Heartbeat) -> Outgoing:
    """Build a pool's heartbeat."""
    return _signal(names.HEARTBEAT_KEY, names.TYPE_HEARTBEAT, heartbeat)


def feedback_message(feedback: Feedback) -> Outgoing:
    """Build the signal that tells the scheduler which slots are free again."""
    return _signal(names.FEEDBACK_KEY, names.TYPE_FEEDBACK, feedback)


def breaker_message(state: BreakerState) -> Outgoing:
    """Build the signal with a breaker's state."""
    return _signal(names.BREAKER_KEY, names.TYPE_BREAKER, state)


def status_events_message(events: StatusEvents) -> Outgoing:
    """Build an entry of the status stream."""
    return _signal(names.STATUS_KEY, names.TYPE_STATUS, events, exchange=names.STATUS)


def _signal(key: str, type_: str, content: msgspec.Struct, exchange: str = names.SIGNALS) -> Outgoing:
    return Outgoing(
        exchange=exchange,
        routing_key=key,
        body=msgspec.json.encode(content),
        type=type_,
        persistent=False,
        mandatory=False,
    )
