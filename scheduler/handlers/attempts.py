"""Handles failed attempts: each request is placed again later, or ends."""

import msgspec

from scheduler.admission.decoding import body_digest
from scheduler.effects import Delivery
from scheduler.events import Message
from scheduler.feedback import retries
from scheduler.handlers.resolution import ModelResolver
from scheduler.handlers.shared import Shared
from straightline.contracts import FailedAttempt, FailedAttempts, Request, Ticket, decode_request
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError


class AttemptHandler:
    """The one owner of retries: workers report a failed attempt and never retry.

    Args:
        shared: parts of the core.
        resolver: finds the model of a ticket.
        max_attempts: attempts after which a request has failed.
    """

    def __init__(self, shared: Shared, resolver: ModelResolver, *, max_attempts: int) -> None:
        self._shared = shared
        self._resolver = resolver
        self._max_attempts = max_attempts

    def handle(self, message: Message, now: float) -> None:
        """Handle the failed attempts of one task."""
        shared, delivery, body = self._shared, message.delivery, message.body
        try:
            failed = decode(body, FailedAttempts).failed
        except ContractError as error:
            if not shared.is_duplicate_delivery(delivery, body_digest(body)):
                shared.dead_letter(delivery, body, f"not failed attempts: {error}")
            return
        if shared.is_duplicate_delivery(delivery, delivery.message_id or body_digest(body)):
            return
        readable = [
            (item, request) for item in failed if (request := self._decode(delivery, item)) is not None
        ]
        shared.feedback.failed(readable, now)
        for item, request in readable:
            if shared.idempotency.ended(request.id):
                continue
            shared.idempotency.remember(request.id, item.ticket.digest)
            shared.lifecycle.record_attempt(item.ticket, item.attempt)
            self._retry(delivery, request, item.ticket, now)

    def _decode(self, delivery: Delivery, item: FailedAttempt) -> Request | None:
        try:
            return decode_request(bytes(item.ticket.request))
        except ContractError as error:
            self._shared.dead_letter(delivery, msgspec.json.encode(item), f"not a request: {error}")
            return None

    def _retry(self, delivery: Delivery, request: Request, ticket: Ticket, now: float) -> None:
        shared = self._shared
        pending = self._resolver.readmit(delivery, request, ticket, now)
        if pending is None or shared.finish_if_done(pending, now):
            return
        decision = retries.decide(ticket, request, pending.spec, max_attempts=self._max_attempts, now=now)
        if isinstance(decision, retries.GiveUp):
            shared.emitter.end(
                pending, now, state="failed", error_class=decision.error_class, error=decision.error
            )
        elif isinstance(decision, retries.DeadlineExceeded):
            shared.emitter.expire(pending, now)
        else:
            shared.lifecycle.retry(request, ticket, decision.excluded, now)
            if not (decision.at_once and shared.dispatcher.try_place(pending, now)):
                shared.dispatcher.holds.delay(request, ticket, delivery, decision.delay)
