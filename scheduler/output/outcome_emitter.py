"""Ends requests: each gets one outcome, sent to the ledger and to its producer."""

import msgspec

from scheduler.admission.idempotency import IdempotencyCache
from scheduler.effects import Delivery, PendingEffects
from scheduler.lifecycle import Lifecycle, PendingRequest
from scheduler.output import outcome_factory
from scheduler.placement.saturation import Saturated
from straightline import names
from straightline.contracts import Outcome, ReplyAddress, Request, Ticket
from straightline.contracts.faults import ErrorClass
from straightline.messages.results import encoded_reply, outcome_batch


class OutcomeEmitter:
    """Turns the end of a request into messages.

    Args:
        effects: receives the messages.
        idempotency: learns which ids have their outcome.
        lifecycle: records each end.
    """

    def __init__(self, effects: PendingEffects, idempotency: IdempotencyCache, lifecycle: Lifecycle) -> None:
        self._effects = effects
        self._idempotency = idempotency
        self._lifecycle = lifecycle

    def finish(self, outcome: Outcome, reply: ReplyAddress | None, delivery: Delivery) -> None:
        """Send an outcome to the ledger and, where it is expected, to the producer."""
        self._idempotency.end(outcome.request_id)
        body = msgspec.json.encode(outcome)
        self._effects.send(outcome_batch([body]), delivery)
        if reply is not None:
            self._effects.send(encoded_reply(outcome.request_id, body, reply), delivery)

    def end_ticket(
        self,
        request: Request,
        ticket: Ticket,
        delivery: Delivery,
        now: float,
        *,
        state: names.State,
        error_class: ErrorClass,
        error: str,
        retry_after: float | None = None,
    ) -> None:
        """End a request that has a ticket."""
        outcome = outcome_factory.ending(
            ticket,
            request,
            state=state,
            error_class=error_class,
            error=error,
            now=now,
            retry_after=retry_after,
        )
        self._lifecycle.end(request, ticket, now)
        self.finish(outcome, ticket.reply, delivery)

    def end(
        self,
        pending: PendingRequest,
        now: float,
        *,
        state: names.State,
        error_class: ErrorClass,
        error: str,
        retry_after: float | None = None,
    ) -> None:
        """End a pending request."""
        self.end_ticket(
            pending.request,
            pending.ticket,
            pending.delivery,
            now,
            state=state,
            error_class=error_class,
            error=error,
            retry_after=retry_after,
        )

    def reject_saturated(self, pending: PendingRequest, why: Saturated, now: float) -> None:
        """Reject a request that would not be answered in time."""
        self.end(
            pending,
            now,
            state="rejected",
            error_class="saturated",
            error=f"{why.why}; try again in {why.retry_after:.0f} s, under a new id",
            retry_after=why.retry_after,
        )

    def cancel(self, request: Request, ticket: Ticket, delivery: Delivery, now: float) -> None:
        """End a cancelled request."""
        when = "could be placed again" if ticket.attempts else "ran"
        self.end_ticket(
            request,
            ticket,
            delivery,
            now,
            state="cancelled",
            error_class="cancelled",
            error=f"it was cancelled before it {when}",
        )

    def expire(self, pending: PendingRequest, now: float, why: str = "") -> None:
        """End a request whose deadline has passed, or would pass before its next attempt.

        Args:
            pending: the request.
            now: seconds since the epoch.
            why: the reasons why it was held.
        """
        where = "while it was held" if pending.ticket.held_since else "before it could be placed again"
        waited = now - pending.ticket.received_at
        self.end(
            pending,
            now,
            state="expired",
            error_class="deadline",
            error=f"the deadline passed {where}, {waited:.1f} s after it was received{why and f': {why}'}",
        )
