"""Where a request is, for who asks: this pool answers where it has it in work, and is silent where not."""

import logging

import msgspec

from straightline import names
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts import StatusQuery, StatusReply
from straightline.contracts.status_query import decode_status_query
from straightline.errors import ContractError
from workers.coordination.cancellation import CancellationTracker
from workers.execution.placements import Work
from workers.execution.result import PoolIdentity
from workers.reporting.reporter import Sender

logger = logging.getLogger(__name__)


class StatusResponder:
    """Answers questions by what is in work.

    Args:
        sender: what publishes.
        place: the pool.
        cancellations: knows what is in work.
    """

    def __init__(self, sender: Sender, place: PoolIdentity, cancellations: CancellationTracker) -> None:
        self._sender = sender
        self._place = place
        self._cancellations = cancellations

    def on_query(self, body: bytes) -> None:
        """Answer a question where it is about a request of this pool; what cannot be read is passed over."""
        try:
            question = decode_status_query(body)
        except ContractError as error:
            logger.warning("a question where a request is cannot be read: %s", error)
            return
        found = self._cancellations.running(question.id)
        if found is not None:
            work, since = found
            self._sender.publish(answer(question, running(work, since, self._place)))


def running(work: Work, since: float, place: PoolIdentity) -> StatusReply:
    """Return that a request is in work; pure."""
    ticket = work.ticket
    return StatusReply(
        id=work.request.id,
        state="running",
        model=work.request.model,
        version=ticket.version,
        backend=place.backend,
        worker=place.worker,
        class_=work.request.class_,
        attempts=len(ticket.attempts) + 1,
        failed=ticket.attempts,
        reason=ticket.reason,
        placed_at=ticket.placed_at,
        started_at=since,
        deadline=ticket.deadline,
    )


def answer(question: StatusQuery, found: StatusReply) -> Outgoing:
    """Return the answer to a question; who asked may wait no more."""
    return Outgoing(
        exchange=names.REPLIES,
        routing_key=question.reply_to,
        body=msgspec.json.encode(found),
        type=names.TYPE_WHEREABOUTS,
        correlation_id=question.correlation_id,
        persistent=False,
        mandatory=False,
    )
