"""Placements: Celery tasks that the scheduler sends to the pools."""

from collections.abc import Sequence

from straightline import names
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts.placement import encode_placement
from straightline.contracts.ticket import Ticket
from straightline.names import Backend


def placement_message(
    task_id: str, tickets: Sequence[Ticket], *, model: str, backend: Backend, size: int, origin: str
) -> Outgoing:
    """Build the Celery task message (protocol 2) for a group of placed tickets.

    `argsrepr` is set here, so that neither Celery's events nor Flower show the content of requests.

    Args:
        task_id: id of the task and of the message.
        tickets: of one model and version.
        model: its name.
        backend: the pool that runs the task.
        size: bytes of the requests.
        origin: name of the placing scheduler.
    """
    rules = sorted({ticket.reason.rule for ticket in tickets if ticket.reason is not None})
    headers = {
        "lang": "py",
        "task": names.PREDICT_TASK,
        "id": task_id,
        "root_id": task_id,
        "parent_id": None,
        "group": None,
        "meth": None,
        "shadow": None,
        "eta": None,
        "expires": None,
        "retries": 0,
        "timelimit": [None, None],
        "argsrepr": f"{len(tickets)} of {model}, {size} bytes, rule {', '.join(map(str, rules))}",
        "kwargsrepr": "",
        "origin": origin,
        "ignore_result": True,
    }
    return Outgoing(
        names.PLACEMENTS,
        backend,
        encode_placement(tickets),
        message_id=task_id,
        correlation_id=task_id,
        headers=headers,
    )
