"""The messages with which anybody hands a request in, takes it back, or has its outcome told."""

from collections.abc import Mapping
from typing import Any

import msgspec

from straightline import names
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts.cancel import Cancel
from straightline.contracts.outcome import Recall
from straightline.contracts.status_events import StatusEvents
from straightline.contracts.ticket import ReplyAddress
from straightline.ids import new_id


def request_message(
    request_id: str,
    body: bytes,
    *,
    class_: str,
    reply_to: str | None,
    correlation_id: str | None = None,
    headers: Mapping[str, Any] | None = None,
) -> Outgoing:
    """Return the message that hands a request in.

    Args:
        request_id: its id.
        body: the request as JSON.
        class_: its class, which is the routing key.
        reply_to: where its outcome is pushed; None pushes it nowhere.
        correlation_id: what the outcome shall have; None takes the request's id.
        headers: trace context.
    """
    return Outgoing(
        exchange=names.REQUESTS,
        routing_key=class_,
        body=body,
        type=names.TYPE_REQUEST,
        message_id=request_id,
        correlation_id=(correlation_id or request_id) if reply_to else None,
        reply_to=reply_to,
        headers=dict(headers) if headers else None,
    )


def wish_message(request_id: str, wish_id: str, *, reply_to: str | None = None) -> Outgoing:
    """Return the message that takes a request back.

    Args:
        request_id: of the request.
        wish_id: names the wish; an answer has it as its correlation id.
        reply_to: where the answer is pushed; None asks for none.
    """
    return Outgoing(
        exchange=names.REQUESTS,
        routing_key="cancel",
        body=msgspec.json.encode(Cancel(id=request_id)),
        type=names.TYPE_CANCEL,
        message_id=wish_id,
        correlation_id=wish_id if reply_to else None,
        reply_to=reply_to,
    )


def recall_message(recall: Recall, exchange: str = names.OUTCOMES, key: str = "recall") -> Outgoing:
    """Return the message that has the recorder answer again, at once or by way of another exchange."""
    return Outgoing(
        exchange=exchange,
        routing_key=key,
        body=msgspec.json.encode(recall),
        type=names.TYPE_RECALL,
        message_id=new_id(),
    )


def what_stands_message(request_id: str, digest: str, reply: ReplyAddress, now: float) -> Outgoing:
    """Return the message that has the recorder tell a producer what stands.

    It does so once it has written what was sent to the ledger before; what stands may be another outcome than
    that: one that was on its way already.
    """
    return recall_message(
        Recall(request_id=request_id, digest=digest, conflict=False, seen_at=now, reply=reply, repeated=False)
    )


def status_events_message(events: StatusEvents) -> Outgoing:
    """Return the entry of the status stream that carries `events`; it may be lost."""
    return Outgoing(
        exchange=names.STATUS,
        routing_key=names.STATUS_KEY,
        body=msgspec.json.encode(events),
        type=names.TYPE_STATUS,
        persistent=False,
        mandatory=False,
    )
