"""RabbitMQ's users, one for each kind of component, with the least rights; nothing here talks to a broker.

RabbitMQ asks for three rights on a name, of an exchange or a queue: *configure* to declare or delete it,
*write* to publish to an exchange or bind a queue, *read* to consume a queue or bind to an exchange. A name
that no pattern of a user fits is closed to it. Who applies the topology is not among these users.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from straightline import names

USER_PREFIX: Final = "straightline-"
"""What the name of each user begins with: a broker may serve others, too."""

_OWN: Final = r"amq\.gen-.*"
"""Queues that the broker names. Their users declare them exclusive, so that no other connection sees them."""
_REPLY: Final = re.escape(names.REPLY_QUEUE_PREFIX) + r".+"
_BREAKERS: Final = re.escape(names.BREAKERS_QUEUE_PREFIX) + r".+"
_UUID: Final = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_DEFAULT: Final = r"amq\.default"
"""As RabbitMQ calls the default exchange, which has no name, when it looks for a right."""
# Celery's own exchanges: events of tasks and workers; questions to workers, and their answers.
_EVENTS: Final = "celeryev"
_CONTROL: Final = r"celery\.pidbox"
_ANSWERS: Final = r"reply\.celery\.pidbox"
_EVENT_QUEUE: Final = r"straightline\.events\..+"
_ANSWER_QUEUE: Final = r".+\.reply\.celery\.pidbox"


@dataclass(frozen=True, slots=True)
class Rights:
    """The patterns of the names that a user may configure, write and read; each must fit the whole name."""

    configure: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    read: tuple[str, ...] = ()

    def patterns(self) -> dict[str, str]:
        """Return them as RabbitMQ takes them: one regular expression each; the empty one fits nothing."""
        kinds = {"configure": self.configure, "write": self.write, "read": self.read}
        return {kind: f"^({'|'.join(given)})$" if given else "^$" for kind, given in kinds.items()}


def _named(*given: str) -> tuple[str, ...]:
    return tuple(re.escape(name) for name in given)


def _pool(backend: str) -> Rights:
    # Celery declares what it uses of its own, each time; a pool that deletes these harms what Flower shows.
    inbox = rf"{re.escape(backend)}@.+\.celery\.pidbox"
    return Rights(
        configure=(_EVENTS, _CONTROL, _ANSWERS, inbox, _BREAKERS),
        write=(
            *_named(names.OUTCOMES, names.REPLIES, names.ADAPTER_REPLIES, names.SIGNALS),
            _EVENTS,
            _ANSWERS,
            inbox,
            _BREAKERS,
        ),
        read=(
            *_named(names.backend_queue(backend), names.CANCELLED_STREAM, names.DEPLOYED_STREAM),
            *_named(names.SIGNALS, names.QUESTIONS),  # how breakers stand, who asks where requests are
            _CONTROL,
            inbox,
            _BREAKERS,
        ),
    )


_PRODUCER: Final = Rights(
    configure=(_REPLY,),
    write=(*_named(names.REQUESTS), _REPLY),
    read=(*_named(names.REPLIES), _REPLY),
)

USERS: Final[Mapping[str, Rights]] = MappingProxyType(
    {
        "producer": _PRODUCER,
        # A service that has Celery and nothing of ours: its queue of results has a UUID for a name.
        "celery-producer": Rights(configure=(_UUID,), write=_named(names.REQUESTS), read=(_UUID,)),
        # It hears the pools' heartbeats, too, and tells operators of each host. It asks where requests are.
        "gateway": replace(
            _PRODUCER,
            write=(*_PRODUCER.write, *_named(names.QUESTIONS)),
            read=(*_PRODUCER.read, *_named(names.DEPLOYED_STREAM, names.SIGNALS)),
        ),
        "batches": _PRODUCER,
        "scheduler": Rights(
            configure=(*_named(names.LEADER_QUEUE), _OWN),
            write=(
                *_named(
                    names.PLACEMENTS,
                    names.OUTCOMES,
                    names.REPLIES,
                    names.ADAPTER_REPLIES,
                    names.DELAYS,
                    names.DEAD,
                ),
                *_named(names.SIGNALS),  # its marks in the streams of what is cancelled, and deployed
                _OWN,
            ),
            read=(
                *_named(*names.REQUEST_QUEUES, names.CANCELS_QUEUE, names.RETURNS_QUEUE),
                *_named(names.ATTEMPTS_QUEUE, names.CANCELLED_STREAM, names.DEPLOYED_STREAM, names.SIGNALS),
                *_named(names.QUESTIONS),
                _OWN,
            ),
        ),
        **{f"pool-{backend}": _pool(backend) for backend in names.BACKENDS},
        "recorder": Rights(
            write=_named(names.REPLIES, names.ADAPTER_REPLIES, names.DELAYS, names.DEAD),
            read=_named(names.OUTCOMES_QUEUE),
        ),
        "reconciler": Rights(
            write=_named(names.OUTCOMES, names.REPLIES, names.ADAPTER_REPLIES, names.SIGNALS, names.REGISTRY),
            read=_named(names.DEAD_QUEUE, names.DEPLOYED_STREAM),
        ),
        "deployer": Rights(write=_named(names.REGISTRY)),
        # The one user of the default exchange: results for callers with Celery go to their own queues by it.
        "celery-door": Rights(
            write=(*_named(names.REQUESTS), _DEFAULT),
            read=_named(names.CELERY_QUEUE, names.CELERY_REPLIES_QUEUE),
        ),
        "webhooks": Rights(read=_named(names.WEBHOOKS_QUEUE)),
        # It looks, and asks workers for their state; `workers` answers questions and takes no orders.
        "flower": Rights(
            configure=(_EVENTS, _CONTROL, _ANSWERS, _EVENT_QUEUE, _ANSWER_QUEUE),
            write=(_CONTROL, _EVENT_QUEUE, _ANSWER_QUEUE),
            read=(_EVENTS, _ANSWERS, _EVENT_QUEUE, _ANSWER_QUEUE),
        ),
    }
)
"""The rights of each user, by the kind of component."""
