"""Ending requests in the scheduler: each gets one outcome, sent to the ledger and to its producer."""

import logging

from scheduler.admission.admission import reply_address
from scheduler.admission.idempotency import IdempotencyCache
from scheduler.dispatch.hold_queue import PendingRequest
from scheduler.effects import Delivery, PendingEffects
from scheduler.output import messages, outcome_factory
from scheduler.placement.saturation import Saturated
from straightline import names
from straightline.contracts import Outcome, Recall, ReplyAddress, Request, Ticket
from straightline.contracts.faults import ErrorClass
from straightline.errors import ContractError

log = logging.getLogger(__name__)


class OutcomeEmitter:
    """Turns endings into messages. No clock: time is an argument."""

    def __init__(self, effects: PendingEffects, idempotency: IdempotencyCache) -> None:
        self._effects = effects
        self._idempotency = idempotency

    def finish(self, outcome: Outcome, reply: ReplyAddress | None, delivery: Delivery) -> None:
        """Send an outcome to the ledger and, where it was asked for, to the producer."""
        self._idempotency.end(outcome.request_id)
        self._effects.send(messages.outcome(outcome, delivery))
        if reply is not None:
            self._effects.send(messages.reply(outcome, reply, delivery))

    def end(
        self, case: PendingRequest, now: float, *, state: names.State, error_class: ErrorClass, error: str
    ) -> None:
        """End a request that has a ticket."""
        outcome = outcome_factory.ending(
            case.ticket, case.request, state=state, error_class=error_class, error=error, now=now
        )
        self.finish(outcome, case.ticket.reply, case.delivery)

    def saturated(self, case: PendingRequest, why: Saturated, now: float) -> None:
        """Reject a request that would wait in vain, before it has."""
        self.finish(
            outcome_factory.ending(
                case.ticket,
                case.request,
                state="rejected",
                error_class="saturated",
                error=f"{why.why}; try again in {why.retry_after:.0f} s, under a new id",
                now=now,
                retry_after=why.retry_after,
            ),
            case.ticket.reply,
            case.delivery,
        )

    def cancel(self, request: Request, ticket: Ticket, delivery: Delivery, now: float) -> None:
        """End a request that was taken back."""
        when = "could be placed again" if ticket.attempts else "ran"
        outcome = outcome_factory.ending(
            ticket,
            request,
            state="cancelled",
            error_class="cancelled",
            error=f"it was cancelled before it {when}",
            now=now,
        )
        self.finish(outcome, ticket.reply, delivery)

    def expire(self, case: PendingRequest, now: float, why: str = "") -> None:
        """End a request whose deadline has passed, or would pass before it could be tried again.

        Args:
            case: the request.
            now: seconds since the epoch.
            why: for what reasons it was held.
        """
        where = "while it was held" if case.ticket.held_since else "before it could be placed again"
        waited = now - case.ticket.received_at
        self.end(
            case,
            now,
            state="expired",
            error_class="deadline",
            error=f"the deadline passed {where}, {waited:.1f} s after it was received{why and f': {why}'}",
        )

    def unreadable(
        self,
        delivery: Delivery,
        body: bytes,
        error: ContractError,
        now: float,
        *,
        reply_to: str | None,
        correlation_id: str | None,
        content: str,
    ) -> None:
        """Reject what could not be decoded: by its id where one was found, to the dead letters otherwise."""
        request_id = error.request_id
        if request_id is None:
            self._effects.send(messages.dead(delivery, body, str(error)))
            log.warning("a message without a usable id went to %s: %s", names.DEAD_QUEUE, error.error_class)
            return
        reply = reply_address(reply_to, correlation_id, request_id)
        seen = self._idempotency.find(request_id)
        if seen is not None:
            conflict = not seen.matches(content)
            again = Recall(request_id=request_id, digest=content, conflict=conflict, seen_at=now, reply=reply)
            self._effects.send(messages.recall(again, delivery))
            return
        self._idempotency.remember(request_id, content)
        outcome = outcome_factory.refusal(
            request_id, None, state="rejected", error_class=error.error_class, error=str(error), now=now
        )
        self.finish(outcome, reply, delivery)
