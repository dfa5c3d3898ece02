"""Messages that the scheduler publishes."""

from collections.abc import Sequence
from typing import Final

import msgspec

from straightline import names
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts import (
    BreakerState,
    Cancel,
    CancelAnswer,
    Lease,
    LeaseBatch,
    Outcome,
    OutcomeBatch,
    Recall,
    ReplyAddress,
    Ticket,
)
from straightline.contracts.cancel import CancelResult
from straightline.contracts.request import MAX_BODY_BYTES
from straightline.contracts.status_events import StatusEvents
from straightline.ids import new_id
from straightline.names import Backend

MAX_REASON_CHARS: Final = 1024

_encode = msgspec.json.Encoder().encode
_EMBED: Final = b', {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'


def placement(
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
        b"[[" + _encode(tickets) + b"]" + _EMBED,
        message_id=task_id,
        correlation_id=task_id,
        headers=headers,
    )


def outcome(ended: Outcome) -> Outgoing:
    """Build the message that brings one final outcome to the ledger."""
    body = _encode(OutcomeBatch(outcomes=[ended]))
    return Outgoing(names.OUTCOMES, "outcome", body, names.TYPE_OUTCOMES, new_id())


def reply(ended: Outcome, address: ReplyAddress) -> Outgoing:
    """Build the message that pushes an outcome to its producer, which may be gone."""
    return _to_producer(_encode(ended), names.TYPE_OUTCOME, address)


def leased(placed: list[Lease]) -> Outgoing:
    """Build the message that reports placements to the ledger."""
    body = _encode(LeaseBatch(leases=placed))
    return Outgoing(names.OUTCOMES, "placement", body, names.TYPE_LEASES, new_id())


def recall(repeated: Recall) -> Outgoing:
    """Build the message that has the recorder answer a repeated id."""
    return Outgoing(names.OUTCOMES, "recall", _encode(repeated), names.TYPE_RECALL, new_id())


def cancelled(request_id: str) -> Outgoing:
    """Build the entry in the cancellation stream."""
    body = _encode(Cancel(id=request_id))
    return Outgoing(names.PLACEMENTS, names.CANCELLED_KEY, body, names.TYPE_CANCEL, new_id())


def cancel_answer(request_id: str, verdict: CancelResult, address: ReplyAddress) -> Outgoing:
    """Build the answer to a cancellation."""
    body = _encode(CancelAnswer(id=request_id, verdict=verdict))
    return _to_producer(body, names.TYPE_CANCEL_ANSWER, address)


def status(events: StatusEvents) -> Outgoing:
    """Build the entry of the status stream that carries `events`; it may get lost."""
    body = _encode(events)
    return Outgoing(names.STATUS, names.STATUS_KEY, body, names.TYPE_STATUS, new_id(), mandatory=False)


def breaker(backend: Backend, model: str | None, why: str, now: float) -> Outgoing:
    """Build the signal with a breaker's state; it may get lost, since open breakers are announced again."""
    state = BreakerState(backend=backend, model=model, open=bool(why), why=why or None, at=now)
    return Outgoing(
        names.SIGNALS, names.BREAKER_KEY, _encode(state), names.TYPE_BREAKER, new_id(), mandatory=False
    )


def delayed(content: Ticket | Recall, milliseconds: int) -> Outgoing:
    """Build the message that comes back for placement after a delay."""
    kind = names.TYPE_TICKET if isinstance(content, Ticket) else names.TYPE_RECALL
    return Outgoing(names.DELAYS, str(milliseconds), _encode(content), kind, new_id())


def dead(body: bytes, why: str, *, queue: str, message_id: str | None) -> Outgoing:
    """Build a dead letter from an unreadable message, with the reason in its headers.

    It keeps the message id of the original. A new one would pass for the id of a request.
    """
    return Outgoing(
        names.DEAD,
        "",
        body[:MAX_BODY_BYTES],  # a larger one would be refused and published again forever
        message_id=message_id or None,
        headers={
            "x-straightline-reason": why[:MAX_REASON_CHARS].encode(errors="replace").decode(),
            "x-straightline-queue": queue,
            "x-straightline-size": len(body),
        },
    )


def _to_producer(body: bytes, kind: str, address: ReplyAddress) -> Outgoing:
    return Outgoing(
        names.reply_exchange(address.to),
        address.to,
        body,
        kind,
        new_id(),
        correlation_id=address.correlation_id,
        mandatory=False,
    )
