"""Handles a message whose handling raised an exception."""

from dataclasses import replace

from scheduler.admission.admission import reply_address
from scheduler.admission.decoding import extract_request_id
from scheduler.events import NO_ENVELOPE, MessageFailed
from scheduler.handlers.shared import Shared
from scheduler.output import outcome_factory
from straightline import names


class FailureHandler:
    """Dead-letters the message and ends its request, so that the error affects no other request.

    Without this the error would close the connection. Every unacknowledged message would then be delivered
    again, until the delivery limit takes the cause and the others alike.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def handle_internal_error(self, event: MessageFailed, now: float) -> None:
        """Handle a message in place of its handler."""
        shared, message = self._shared, event.message
        delivery, body = message.delivery, message.body
        stand_in = replace(delivery, pending=0)
        delivery.disown()
        shared.deduplicator.disown(delivery)
        why = f"the scheduler met a fault of its own, {type(event.error).__name__}: {event.error}"
        with shared.effects.owning(stand_in):
            shared.dead_letter(stand_in, body, why)
            request_id = extract_request_id(delivery, body)
            if request_id is None or shared.idempotency.ended(request_id):
                return
            outcome = outcome_factory.refusal(
                request_id, None, state="failed", error_class="scheduler_fault", error=why, now=now
            )
            envelope = message.envelope if delivery.queue in names.REQUEST_QUEUES else NO_ENVELOPE
            reply = reply_address(envelope.reply_to, envelope.correlation_id, request_id)
            shared.emitter.finish(outcome, reply, stand_in)
