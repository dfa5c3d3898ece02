"""Handles cancellations: a held request ends at once, any other where it is met next."""

from scheduler.admission.admission import reply_address
from scheduler.admission.decoding import body_digest
from scheduler.effects import Delivery
from scheduler.events import Message
from scheduler.handlers.shared import Shared
from straightline.contracts import Cancel
from straightline.contracts.cancel import CancelResult
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError
from straightline.ids import canonical
from straightline.messages.results import cancel_answer
from straightline.messages.streams import cancelled_message


class CancellationHandler:
    """Cancels requests, and publishes their ids to the stream that pools and other schedulers read."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def handle(self, message: Message, now: float) -> None:
        """Cancel a request and answer the producer."""
        shared, delivery, envelope = self._shared, message.delivery, message.envelope
        try:
            request_id = canonical(decode(message.body, Cancel).id)
        except ContractError:
            request_id = None
        if shared.is_duplicate_delivery(delivery, request_id or body_digest(message.body)):
            return
        if request_id is None:
            shared.dead_letter(delivery, message.body, "not a cancellation: it has no id that is a UUID")
            return
        verdict = self._cancel(delivery, request_id, now)
        shared.effects.log("info", "cancellation_decided", request_id=request_id, verdict=verdict)
        address = reply_address(envelope.reply_to, envelope.correlation_id, request_id)
        if address is not None:
            shared.effects.send(cancel_answer(request_id, verdict, address), delivery)

    def _cancel(self, delivery: Delivery, request_id: str, now: float) -> CancelResult:
        shared, holds = self._shared, self._shared.dispatcher.holds
        seen = shared.idempotency.find(request_id)
        if seen is not None and seen.ended:
            return "ended"
        shared.cancelled.add(request_id)
        held = holds.take(
            lambda pending: pending.request.id == request_id,
            lambda pending: shared.emitter.cancel(pending.request, pending.ticket, pending.delivery, now),
        )
        delayed = holds.take_delayed(request_id)
        if delayed is not None:  # its message comes back and is dropped, since the request has ended
            shared.emitter.cancel(delayed.request, delayed.ticket, delivery, now)
        # After a lost connection a held request may be placed as well, so the pools learn of it in any case.
        shared.effects.send(cancelled_message(request_id), delivery)
        if held or delayed is not None:
            return "cancelled"
        return "noted" if seen is not None else "unknown"
