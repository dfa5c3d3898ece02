"""Entries of the streams of cancellations and deployments."""

import msgspec

from straightline import names
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts.cancel import Cancel
from straightline.contracts.deployed import Deployed
from straightline.ids import new_id


def cancelled_message(request_id: str) -> Outgoing:
    """Build the entry of the cancellation stream for a request that must not run any more."""
    return Outgoing(
        exchange=names.PLACEMENTS,
        routing_key=names.CANCELLED_KEY,
        body=msgspec.json.encode(Cancel(id=request_id)),
        type=names.TYPE_CANCEL,
        message_id=new_id(),
    )


def deployed_message(deployed: Deployed) -> Outgoing:
    """Build the announcement of everything that is deployed."""
    return Outgoing(
        exchange=names.REGISTRY,
        routing_key=names.DEPLOYED_KEY,
        body=msgspec.json.encode(deployed),
        type=names.TYPE_DEPLOYED,
        message_id=new_id(),
    )
