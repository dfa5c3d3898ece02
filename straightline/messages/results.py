"""Results: outcomes for the ledger, failed attempts for the scheduler, replies for producers."""

from collections.abc import Iterable
from typing import Any

import msgspec

from straightline import names
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts.cancel import CancelAnswer, CancelResult
from straightline.contracts.outcome import Outcome
from straightline.contracts.ticket import ReplyAddress
from straightline.ids import new_id


def outcome_batch(outcomes: Iterable[bytes], *, headers: dict[str, Any] | None = None) -> Outgoing:
    """Build the message that brings final outcomes, each encoded already, to the ledger."""
    body = b'{"outcomes":[' + b",".join(outcomes) + b"]}"
    return Outgoing(
        exchange=names.OUTCOMES,
        routing_key=names.OUTCOME_KEY,
        body=body,
        type=names.TYPE_OUTCOMES,
        message_id=new_id(),
        headers=headers,
    )


def failed_attempts(attempts: Iterable[bytes]) -> Outgoing:
    """Build the message that returns requests, each encoded with its failed attempt, for placement."""
    body = b'{"failed":[' + b",".join(attempts) + b"]}"
    return Outgoing(
        exchange=names.OUTCOMES,
        routing_key=names.ATTEMPT_KEY,
        body=body,
        type=names.TYPE_ATTEMPTS,
        message_id=new_id(),
    )


def reply(outcome: Outcome, address: ReplyAddress) -> Outgoing:
    """Build the message that pushes an outcome to its producer, which may be gone."""
    return encoded_reply(outcome.request_id, msgspec.json.encode(outcome), address)


def encoded_reply(request_id: str, outcome: bytes, address: ReplyAddress) -> Outgoing:
    """Build a reply from an outcome that is encoded already."""
    return _push(outcome, names.TYPE_OUTCOME, request_id, address)


def cancel_answer(request_id: str, result: CancelResult, address: ReplyAddress) -> Outgoing:
    """Build the answer to a cancellation."""
    body = msgspec.json.encode(CancelAnswer(id=request_id, verdict=result))
    return _push(body, names.TYPE_CANCEL_ANSWER, request_id, address)


def _push(body: bytes, type_: str, message_id: str, address: ReplyAddress) -> Outgoing:
    return Outgoing(
        exchange=names.reply_exchange(address.to),
        routing_key=address.to,
        body=body,
        type=type_,
        message_id=message_id,
        correlation_id=address.correlation_id,
        persistent=False,  # a reply queue lives only as long as its connection; quorum queues persist anyway
        mandatory=False,  # the producer may be gone
    )
