"""Messages that come back for placement after a while."""

import msgspec

from straightline import names
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts.outcome import Recall
from straightline.contracts.ticket import Ticket
from straightline.ids import new_id


def delayed_message(content: Ticket | Recall, milliseconds: int) -> Outgoing:
    """Build a message for the delay queue of `milliseconds`, one of `names.DELAYS_MS`."""
    return Outgoing(
        exchange=names.DELAYS,
        routing_key=str(milliseconds),
        body=msgspec.json.encode(content),
        type=names.TYPE_TICKET if isinstance(content, Ticket) else names.TYPE_RECALL,
        message_id=new_id(),
    )
