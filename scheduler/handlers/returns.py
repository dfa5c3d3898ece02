"""Handles messages that come back from a delay queue: tickets and recalls."""

from scheduler.admission.decoding import body_digest
from scheduler.events import Message
from scheduler.handlers.repeats import RepeatHandler
from scheduler.handlers.resolution import ModelResolver
from scheduler.handlers.shared import Shared
from straightline import names
from straightline.contracts import Recall, Request, Ticket, decode_request
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError


class ReturnHandler:
    """Places held and retried requests again, and resumes recalls."""

    def __init__(self, shared: Shared, resolver: ModelResolver, repeats: RepeatHandler) -> None:
        self._shared = shared
        self._resolver = resolver
        self._repeats = repeats

    def handle(self, message: Message, now: float) -> None:
        """Handle a message from the queue of returns."""
        delivery, body = message.delivery, message.body
        try:
            if message.type == names.TYPE_RECALL:
                recall = decode(body, Recall)
                if not self._shared.is_duplicate_delivery(delivery, recall.request_id):
                    self._repeats.resume(delivery, recall, now)
                return
            ticket = decode(body, Ticket)
            request = decode_request(bytes(ticket.request))
        except ContractError as error:
            if not self._shared.is_duplicate_delivery(delivery, body_digest(body)):
                self._shared.dead_letter(delivery, body, f"not a ticket: {error}")
            return
        if not self._shared.is_duplicate_delivery(delivery, request.id):
            self._place(message, request, ticket, now)

    def _place(self, message: Message, request: Request, ticket: Ticket, now: float) -> None:
        shared = self._shared
        shared.dispatcher.holds.on_return(request, ticket)
        if shared.idempotency.ended(request.id):
            return  # it was duplicated after a lost connection; one outcome is enough
        shared.idempotency.remember(request.id, ticket.digest)
        shared.lifecycle.resume(ticket)
        pending = self._resolver.readmit(message.delivery, request, ticket, now)
        if pending is not None and not shared.finish_if_done(pending, now):
            shared.dispatcher.submit(pending, now)
