"""The messages that the scheduler publishes. Pure, but for the new ids of messages and tasks."""

from collections.abc import Sequence
from typing import Final

import msgspec

from scheduler.dispatch.coalescing import Group
from scheduler.effects import Delivery, Publish
from scheduler.feedback.breakers import Change
from straightline import names
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

_encode = msgspec.json.Encoder().encode
_EMBED: Final = b', {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'


def placement(group: Group, *, origin: str) -> Publish:
    """Return the Celery task message (protocol 2) for a group of placed tickets.

    `argsrepr` is ours, so that neither Celery's events nor Flower show what the requests contain.
    """
    task_id = new_id()
    rules = sorted({ticket.reason.rule for ticket in group.tickets if ticket.reason is not None})
    count = len(group.tickets)
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
        "argsrepr": f"{count} of {group.model}, {group.size} bytes, rule {', '.join(map(str, rules))}",
        "kwargsrepr": "",
        "origin": origin,
        "ignore_result": True,
    }
    return Publish(
        exchange=names.PLACEMENTS,
        key=group.backend,
        body=b"[[" + _encode(group.tickets) + b"]" + _EMBED,
        type="",
        causes=group.causes,
        message_id=task_id,
        correlation_id=task_id,
        headers=headers,
    )


def outcome(ended: Outcome, cause: Delivery) -> Publish:
    """Return the message that brings one final outcome to the ledger."""
    return Publish(
        names.OUTCOMES,
        "outcome",
        _encode(OutcomeBatch(outcomes=[ended])),
        names.TYPE_OUTCOMES,
        [cause],
        new_id(),
    )


def reply(ended: Outcome, address: ReplyAddress, cause: Delivery) -> Publish:
    """Return the message that pushes an outcome to its producer, who may be gone."""
    return Publish(
        names.reply_exchange(address.to),
        address.to,
        _encode(ended),
        names.TYPE_OUTCOME,
        [cause],
        new_id(),
        correlation_id=address.correlation_id,
        mandatory=False,
    )


def leased(placed: list[Lease], causes: Sequence[Delivery]) -> Publish:
    """Return the message that tells the ledger of all that was placed in one turn."""
    body = _encode(LeaseBatch(leases=placed))
    return Publish(names.OUTCOMES, "placement", body, names.TYPE_LEASES, causes, new_id())


def recall(repeated: Recall, cause: Delivery) -> Publish:
    """Return the message that has the recorder answer a repeated id."""
    return Publish(names.OUTCOMES, "recall", _encode(repeated), names.TYPE_RECALL, [cause], new_id())


def cancelled(request_id: str, cause: Delivery) -> Publish:
    """Return the entry in the stream of cancelled ids."""
    return Publish(
        names.PLACEMENTS,
        names.CANCELLED_KEY,
        _encode(Cancel(id=request_id)),
        names.TYPE_CANCEL,
        [cause],
        new_id(),
    )


def cancel_answer(request_id: str, verdict: CancelResult, address: ReplyAddress, cause: Delivery) -> Publish:
    """Return the message that tells who wanted a request cancelled what became of the wish."""
    return Publish(
        names.reply_exchange(address.to),
        address.to,
        _encode(CancelAnswer(id=request_id, verdict=verdict)),
        names.TYPE_CANCEL_ANSWER,
        [cause],
        new_id(),
        correlation_id=address.correlation_id,
        mandatory=False,
    )


def status(events: StatusEvents) -> Publish:
    """Return the entry of the status stream that carries `events`; it may be lost."""
    return Publish(
        names.STATUS, names.STATUS_KEY, _encode(events), names.TYPE_STATUS, [], new_id(), mandatory=False
    )


def breaker(change: Change, now: float) -> Publish:
    """Return the signal that says how a breaker stands; it may be lost, for what is open is said again."""
    state = BreakerState(
        backend=change.backend,  # type: ignore[arg-type]  # breakers know backends as str
        model=change.model,
        open=bool(change.why),
        why=change.why or None,
        at=now,
    )
    return Publish(
        names.SIGNALS, names.BREAKER_KEY, _encode(state), names.TYPE_BREAKER, [], new_id(), mandatory=False
    )


def delayed(content: Ticket | Recall, causes: Sequence[Delivery], milliseconds: int) -> Publish:
    """Return the message that comes back for placement after a while."""
    kind = names.TYPE_TICKET if isinstance(content, Ticket) else names.TYPE_RECALL
    return Publish(names.DELAYS, str(milliseconds), _encode(content), kind, causes, new_id())


def dead(delivery: Delivery, body: bytes, why: str) -> Publish:
    """Return the message that keeps what could not be understood, with the reason in its headers."""
    return Publish(
        names.DEAD,
        "",
        body[:MAX_BODY_BYTES],  # more might not be taken, and would be tried for ever
        "",
        [delivery],
        delivery.message_id or "",  # none of our own: it would pass for the id of a request
        headers={
            "x-straightline-reason": why[:1024].encode(errors="replace").decode(),
            "x-straightline-queue": delivery.queue,
            "x-straightline-size": len(body),
        },
    )
