"""Messages from producers: requests and cancellations."""

from collections.abc import Mapping
from typing import Any

import msgspec

from straightline import names
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts.cancel import Cancel


def request_message(
    request_id: str,
    body: bytes,
    *,
    class_: str,
    reply_to: str | None,
    correlation_id: str | None = None,
    headers: Mapping[str, Any] | None = None,
) -> Outgoing:
    """Build a request.

    Args:
        request_id: its id.
        body: the request as JSON.
        class_: its class, which is the routing key.
        reply_to: where its outcome is pushed; None pushes it nowhere.
        correlation_id: of the outcome; None takes the request's id.
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


def cancel_message(request_id: str, message_id: str, *, reply_to: str | None = None) -> Outgoing:
    """Build the cancellation of a request.

    Args:
        request_id: of the request.
        message_id: of the message; the answer has it as its correlation id.
        reply_to: where the answer is pushed; None asks for none.
    """
    return Outgoing(
        exchange=names.REQUESTS,
        routing_key=names.CANCEL_KEY,
        body=msgspec.json.encode(Cancel(id=request_id)),
        type=names.TYPE_CANCEL,
        message_id=message_id,
        correlation_id=message_id if reply_to else None,
        reply_to=reply_to,
    )
