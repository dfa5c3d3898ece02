"""Messages to the recorder beside outcomes: recalls and leases."""

from collections.abc import Sequence

import msgspec

from straightline import names
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts.lease import Lease, LeaseBatch
from straightline.contracts.outcome import Recall
from straightline.contracts.ticket import ReplyAddress
from straightline.ids import new_id


def recall_message(recall: Recall) -> Outgoing:
    """Build the message that has the recorder answer a repeated id."""
    return Outgoing(
        exchange=names.OUTCOMES,
        routing_key=names.RECALL_KEY,
        body=msgspec.json.encode(recall),
        type=names.TYPE_RECALL,
        message_id=new_id(),
    )


def outcome_query_message(request_id: str, digest: str, reply: ReplyAddress, now: float) -> Outgoing:
    """Build the message that has the recorder push the recorded outcome of a request to its producer.

    It follows the outcomes sent before it. The recorded outcome may be another one, of an earlier execution.
    """
    return recall_message(
        Recall(request_id=request_id, digest=digest, conflict=False, seen_at=now, reply=reply, repeated=False)
    )


def lease_batch(leases: Sequence[Lease]) -> Outgoing:
    """Build the message that reports placements to the ledger."""
    return Outgoing(
        exchange=names.OUTCOMES,
        routing_key=names.LEASE_KEY,
        body=msgspec.json.encode(LeaseBatch(leases=list(leases))),
        type=names.TYPE_LEASES,
        message_id=new_id(),
    )
