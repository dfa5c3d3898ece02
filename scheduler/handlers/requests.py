"""Handles a producer's request: it is placed, held, answered from an earlier one, or rejected."""

from scheduler.admission.admission import RequestMetadata, RequestRejected, reply_address
from scheduler.admission.decoding import body_digest
from scheduler.events import Message
from scheduler.handlers.repeats import RepeatHandler
from scheduler.handlers.resolution import ModelResolver
from scheduler.handlers.shared import Shared
from scheduler.output import outcome_factory
from straightline.contracts import Request, decode_request
from straightline.contracts.content_digest import digest
from straightline.errors import ContractError


class RequestHandler:
    """Admits requests from the interactive and the batch queue."""

    def __init__(self, shared: Shared, resolver: ModelResolver, repeats: RepeatHandler) -> None:
        self._shared = shared
        self._resolver = resolver
        self._repeats = repeats

    def handle(self, message: Message, now: float) -> None:
        """Handle a message that should be a request."""
        shared, delivery, envelope = self._shared, message.delivery, message.envelope
        try:
            request = decode_request(message.body, message_id=delivery.message_id)
        except ContractError as error:
            if not shared.is_duplicate_delivery(delivery, error.request_id or body_digest(message.body)):
                self._reject_unreadable(message, error, now)
            return
        reply = reply_address(envelope.reply_to, envelope.correlation_id, request.id)
        content = digest(request)
        if shared.is_duplicate_delivery(delivery, request.id):
            return
        if self._repeats.replay_if_repeated(delivery, request.id, content, reply, now):
            return
        shared.idempotency.remember(request.id, content)
        metadata = RequestMetadata(reply, content, envelope.trace, envelope.trace_state)
        try:
            self._admit(message, request, metadata, now)
        except RequestRejected as why:
            outcome = outcome_factory.refusal(
                request.id,
                request,
                state=why.state,
                error_class=why.error_class,
                error=str(why),
                now=now,
                content=content,
            )
            shared.emitter.finish(outcome, reply, delivery)

    def _admit(self, message: Message, request: Request, metadata: RequestMetadata, now: float) -> None:
        if request.id in self._shared.cancelled:
            raise RequestRejected("cancelled", "cancelled", "it was cancelled before it was placed")
        pending = self._resolver.admit(message.delivery, message.body, request, metadata, now)
        if pending is not None:
            self._shared.dispatcher.submit(pending, now, fresh=True)

    def _reject_unreadable(self, message: Message, error: ContractError, now: float) -> None:
        """Reject an unreadable message by its id, or dead-letter it where it has none."""
        shared, delivery, envelope = self._shared, message.delivery, message.envelope
        request_id = error.request_id
        if request_id is None:
            shared.dead_letter(delivery, message.body, str(error))
            shared.effects.log("warning", "request_without_id", error_class=error.error_class)
            return
        content = body_digest(message.body)
        reply = reply_address(envelope.reply_to, envelope.correlation_id, request_id)
        if self._repeats.replay_unreadable(delivery, request_id, content, reply, now):
            return
        shared.idempotency.remember(request_id, content)
        outcome = outcome_factory.refusal(
            request_id, None, state="rejected", error_class=error.error_class, error=str(error), now=now
        )
        shared.emitter.finish(outcome, reply, delivery)
