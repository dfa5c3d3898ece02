"""The Celery strategy of `straightline.predict`: decode a message as a placement, and pass it to the pool.

Celery's own strategy trusts the message; this one passes on only what `read_placement` has checked.
"""

from collections.abc import Callable, Collection
from typing import Any

from celery import signals
from celery.exceptions import InvalidTaskError
from celery.worker.request import Request, create_request_cls
from celery.worker.state import task_reserved

from straightline.errors import ContractError
from workers.domain.placements import Placement, Work, read_placement

Handler = Callable[..., None]


class PlacementRequest(Request):
    """A placement inside Celery's worker; remote control sees its description and no payload."""

    def info(self, safe: bool = False) -> dict[str, Any]:  # noqa: ARG002 - Celery's signature
        """Describe the placement for `inspect` and Flower."""
        return super().info(safe=True)

    @property
    def work(self) -> list[Work]:
        """The requests of the placement."""
        return self.args[0]


def strategy(task: Any, app: Any, consumer: Any, **_: Any) -> Handler:
    """Return the message handler; Celery calls this once for each connection."""
    eventer = consumer.event_dispatcher
    send_event = eventer.send if eventer and eventer.enabled and task.send_events else None
    make = create_request_cls(PlacementRequest, task, consumer.pool, consumer.hostname, eventer, app=app)

    def handle(
        message: Any, body: Any, ack: Any, reject: Any, callbacks: Collection[Callable[[Any], None]]
    ) -> None:
        placement = _decode(message, body)
        request = make(
            message,
            on_ack=ack,
            on_reject=reject,
            app=app,
            hostname=consumer.hostname,
            eventer=eventer,
            task=task,
            connection_errors=consumer.connection_errors,
            headers=_headers(placement, task.name),
            body=([placement.work], {}, {}),
            decoded=True,
        )
        signals.task_received.send(sender=consumer, request=request)
        if send_event is not None:
            send_event(
                "task-received", uuid=request.id, name=request.name, args=placement.argsrepr, kwargs="{}"
            )
        task_reserved(request)
        for callback in callbacks:
            callback(request)
        consumer.on_task_request(request)

    return handle


def _decode(message: Any, body: Any) -> Placement:
    if body is not None:
        raise InvalidTaskError("it is a message of Celery's protocol 1: only protocol 2 is supported")
    try:
        return read_placement(message.headers, message.content_type, message.content_encoding, message.body)
    except ContractError as error:
        raise InvalidTaskError(str(error)) from error


def _headers(placement: Placement, task: str) -> dict[str, Any]:
    return {
        "id": placement.id,
        "task": task,
        "root_id": placement.id,
        "argsrepr": placement.argsrepr,
        "kwargsrepr": "{}",
        "ignore_result": True,
        "retries": 0,
    }
