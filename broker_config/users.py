"""RabbitMQ's users, one for each kind of component, with the least permissions.

RabbitMQ has three permissions on the name of an exchange or queue: *configure* to declare or delete it,
*write* to publish to an exchange or bind a queue, *read* to consume a queue or bind to an exchange. A user
has no access to names that match none of its patterns. The administrator that declares the topology is not
one of these users.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from straightline import names

USER_PREFIX: Final = "straightline-"
"""Prefix of the users' names, since the broker may serve other systems, too."""

_OWN: Final = r"amq\.gen-.*"
"""Queues named by the broker. They are declared exclusive, so no other connection has access."""
_REPLY: Final = re.escape(names.REPLY_QUEUE_PREFIX) + r".+"
_BREAKERS: Final = re.escape(names.BREAKERS_QUEUE_PREFIX) + r".+"
_UUID: Final = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_DEFAULT: Final = r"amq\.default"
"""RabbitMQ's name for the nameless default exchange in permission checks."""
# Celery's own exchanges: events of tasks and workers; remote control of workers, and their replies.
_EVENTS: Final = "celeryev"
_CONTROL: Final = r"celery\.pidbox"
_ANSWERS: Final = r"reply\.celery\.pidbox"
_EVENT_QUEUE: Final = r"straightline\.events\..+"
_ANSWER_QUEUE: Final = r".+\.reply\.celery\.pidbox"


@dataclass(frozen=True, slots=True)
class Permissions:
    """Patterns of the names that a user may configure, write and read; each must match the whole name."""

    configure: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    read: tuple[str, ...] = ()

    def patterns(self) -> dict[str, str]:
        """Return one regular expression for each permission, as RabbitMQ expects; `^$` matches no name."""
        kinds = {"configure": self.configure, "write": self.write, "read": self.read}
        return {kind: f"^({'|'.join(given)})$" if given else "^$" for kind, given in kinds.items()}


def _named(*given: str) -> tuple[str, ...]:
    return tuple(re.escape(name) for name in given)


def _pool(backend: str) -> Permissions:
    # Celery declares its own objects at each start; a pool could delete them, which harms only Flower.
    inbox = rf"{re.escape(backend)}@.+\.celery\.pidbox"
    return Permissions(
        configure=(_EVENTS, _CONTROL, _ANSWERS, inbox, _BREAKERS),
        write=(
            *_named(names.OUTCOMES, names.REPLIES, names.ADAPTER_REPLIES, names.SIGNALS, names.STATUS),
            _EVENTS,
            _ANSWERS,
            inbox,
            _BREAKERS,
        ),
        read=(
            *_named(names.backend_queue(backend), names.CANCELLED_STREAM, names.DEPLOYED_STREAM),
            *_named(names.SIGNALS),  # breaker signals and heartbeats
            _CONTROL,
            inbox,
            _BREAKERS,
        ),
    )


_PRODUCER: Final = Permissions(
    configure=(_REPLY,),
    write=(*_named(names.REQUESTS), _REPLY),
    read=(*_named(names.REPLIES), _REPLY),
)

USERS: Final[Mapping[str, Permissions]] = MappingProxyType(
    {
        "producer": _PRODUCER,
        # A service with plain Celery: its result queue is named by a UUID.
        "celery-producer": Permissions(configure=(_UUID,), write=_named(names.REQUESTS), read=(_UUID,)),
        # It also follows heartbeats and status events, to report hosts to operators and states to callers.
        "gateway": replace(
            _PRODUCER,
            read=(*_PRODUCER.read, *_named(names.DEPLOYED_STREAM, names.STATUS_STREAM, names.SIGNALS)),
        ),
        "batches": _PRODUCER,
        "scheduler": Permissions(
            configure=(*_named(names.LEADER_QUEUE), _OWN),
            write=(
                *_named(
                    names.PLACEMENTS,
                    names.OUTCOMES,
                    names.REPLIES,
                    names.ADAPTER_REPLIES,
                    names.DELAYS,
                    names.DEAD,
                    names.STATUS,
                ),
                *_named(names.SIGNALS),  # its marks in the streams of cancellations and deployments
                _OWN,
            ),
            read=(
                *_named(*names.REQUEST_QUEUES, names.CANCELS_QUEUE, names.RETURNS_QUEUE),
                *_named(names.ATTEMPTS_QUEUE, names.CANCELLED_STREAM, names.DEPLOYED_STREAM, names.SIGNALS),
                _OWN,
            ),
        ),
        **{f"pool-{backend}": _pool(backend) for backend in names.BACKENDS},
        "recorder": Permissions(
            write=_named(names.REPLIES, names.ADAPTER_REPLIES, names.DELAYS, names.DEAD),
            read=_named(names.OUTCOMES_QUEUE),
        ),
        "reconciler": Permissions(
            write=_named(names.OUTCOMES, names.REPLIES, names.ADAPTER_REPLIES, names.SIGNALS, names.REGISTRY),
            read=_named(names.DEAD_QUEUE, names.DEPLOYED_STREAM),
        ),
        "deployer": Permissions(write=_named(names.REGISTRY)),
        # The only user of the default exchange, which routes Celery results to their callers' queues.
        "celery-door": Permissions(
            write=(*_named(names.REQUESTS), _DEFAULT),
            read=_named(names.CELERY_QUEUE, names.CELERY_REPLIES_QUEUE),
        ),
        "webhooks": Permissions(read=_named(names.WEBHOOKS_QUEUE)),
        # It queries the workers' state; their remote control is read-only
        # (workers/celery_ext/remote_control.py).
        "flower": Permissions(
            configure=(_EVENTS, _CONTROL, _ANSWERS, _EVENT_QUEUE, _ANSWER_QUEUE),
            write=(_CONTROL, _EVENT_QUEUE, _ANSWER_QUEUE),
            read=(_EVENTS, _ANSWERS, _EVENT_QUEUE, _ANSWER_QUEUE),
        ),
    }
)
"""The permissions of each user, by kind of component."""
