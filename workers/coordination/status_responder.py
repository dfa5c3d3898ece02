"""Answers to the gateways' status queries about requests that run on this pool."""

import logging

import msgspec

from straightline import names
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts import StatusQuery, StatusReply
from straightline.contracts.status_query import decode_status_query
from straightline.errors import ContractError
from workers.coordination.cancellation import CancellationTracker
from workers.domain.outcomes import PoolIdentity
from workers.domain.placements import Work
from workers.reporting.messages import Sender

logger = logging.getLogger(__name__)


class StatusResponder:
    """Answers status queries about running requests, and ignores all others.

    Args:
        sender: publishes the replies.
        pool: named in the replies.
        cancellations: knows the running requests.
    """

    def __init__(self, sender: Sender, pool: PoolIdentity, cancellations: CancellationTracker) -> None:
        self._sender = sender
        self._pool = pool
        self._cancellations = cancellations

    def on_query(self, body: bytes) -> None:
        """Answer a status query; one that cannot be decoded is logged and skipped."""
        try:
            query = decode_status_query(body)
        except ContractError as error:
            logger.warning("a status query cannot be decoded: %s", error)
            return
        found = self._cancellations.running(query.id)
        if found is not None:
            work, since = found
            self._sender.publish(status_reply(query, running_status(work, since, self._pool)))


def running_status(work: Work, since: float, pool: PoolIdentity) -> StatusReply:
    """Return the status of a request that runs since `since`."""
    ticket = work.ticket
    return StatusReply(
        id=work.request.id,
        state="running",
        model=work.request.model,
        version=ticket.version,
        backend=pool.backend,
        worker=pool.worker,
        class_=work.request.class_,
        attempts=len(ticket.attempts) + 1,
        failed=ticket.attempts,
        reason=ticket.reason,
        placed_at=ticket.placed_at,
        started_at=since,
        deadline=ticket.deadline,
    )


def status_reply(query: StatusQuery, status: StatusReply) -> Outgoing:
    """Return the reply message; it may be lost, and the sender of the query may have gone."""
    return Outgoing(
        exchange=names.REPLIES,
        routing_key=query.reply_to,
        body=msgspec.json.encode(status),
        type=names.TYPE_WHEREABOUTS,
        correlation_id=query.correlation_id,
        persistent=False,
        mandatory=False,
    )
