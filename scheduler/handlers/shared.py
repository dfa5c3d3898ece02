"""State that the handlers of messages share."""

from dataclasses import dataclass

from scheduler.admission.delivery_dedup import DeliveryDeduplicator
from scheduler.admission.idempotency import IdempotencyCache
from scheduler.dispatch.dispatcher import Dispatcher
from scheduler.effects import Delivery, PendingEffects
from scheduler.feedback.feedback import FeedbackProcessor
from scheduler.lifecycle import Lifecycle, PendingRequest
from scheduler.output.outcome_emitter import OutcomeEmitter
from straightline.messages.dead_letters import dead_letter
from straightline.support.bounded_set import BoundedSet


@dataclass(frozen=True, slots=True)
class Shared:
    """The parts of the core that handlers use.

    Attributes:
        effects: collects messages and acknowledgements.
        lifecycle: the only writer of a ticket's state.
        dispatcher: places and holds requests.
        emitter: ends requests.
        feedback: counts calls and announces breakers.
        idempotency: ids seen lately.
        deduplicator: messages seen lately.
        cancelled: ids that must not run.
    """

    effects: PendingEffects
    lifecycle: Lifecycle
    dispatcher: Dispatcher
    emitter: OutcomeEmitter
    feedback: FeedbackProcessor
    idempotency: IdempotencyCache
    deduplicator: DeliveryDeduplicator
    cancelled: BoundedSet

    def is_duplicate_delivery(self, delivery: Delivery, subject: str) -> bool:
        """Whether a message is already in work, or done; the first delivery then represents both."""
        verdict, earlier = self.deduplicator.take(delivery, subject)
        if verdict == "redelivered" and earlier.pending:
            delivery.disown()  # the earlier delivery has its tag now
        return verdict != "new"

    def dead_letter(self, delivery: Delivery, body: bytes, why: str) -> None:
        """Keep an unreadable message as a dead letter."""
        outgoing = dead_letter(body, why, queue=delivery.queue, message_id=delivery.message_id)
        self.effects.send(outgoing, delivery)

    def finish_if_done(self, pending: PendingRequest, now: float) -> bool:
        """End a request that is cancelled or past its deadline; return False where it may be placed."""
        if pending.request.id in self.cancelled:
            self.emitter.cancel(pending.request, pending.ticket, pending.delivery, now)
        elif pending.ticket.deadline <= now:
            self.dispatcher.expire_hold(pending, now)
        else:
            return False
        return True
