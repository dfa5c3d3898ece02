"""The scheduler without its sockets: messages and time in, publishes and acknowledgements out.

Nothing here reads a clock or does I/O; `scheduler.broker.service` feeds it and carries out its effects.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from scheduler.admission.admission import (
    RequestMetadata,
    RequestRejected,
    check_deadline,
    clamped_submitted_at,
    make_ticket,
    reply_address,
    resolve_model,
)
from scheduler.admission.decoding import body_digest, extract_request_id
from scheduler.admission.delivery_dedup import DeliveryDeduplicator
from scheduler.admission.idempotency import IdempotencyCache
from scheduler.dispatch.backfill import InteractiveYield
from scheduler.dispatch.dispatcher import MAX_MEMORY_HOLD_S, Dispatcher
from scheduler.dispatch.hold_queue import PendingRequest
from scheduler.effects import Delivery, PendingEffects
from scheduler.feedback import retries
from scheduler.feedback.backend_state import BackendStates
from scheduler.feedback.breakers import Breakers
from scheduler.feedback.feedback import FeedbackProcessor
from scheduler.feedback.membership_log import describe
from scheduler.output import messages, outcome_factory
from scheduler.output.outcome_emitter import OutcomeEmitter
from scheduler.output.status_feed import StatusFeed
from scheduler.output.status_resolver import StatusResolver
from scheduler.placement.frequency import Frequencies
from scheduler.settings import Settings
from straightline import names
from straightline.contracts import (
    BreakerState,
    Cancel,
    FailedAttempt,
    FailedAttempts,
    Feedback,
    Heartbeat,
    Recall,
    ReplyAddress,
    Request,
    Ticket,
    decode_request,
)
from straightline.contracts.cancel import CancelResult
from straightline.contracts.deployed import Deployed
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError
from straightline.ids import canonical
from straightline.models.catalogue import Catalogue
from straightline.models.registry_view import RegistryView
from straightline.producer.content_digest import digest
from straightline.support.bounded_set import BoundedSet

log = logging.getLogger(__name__)

NEVER_ACKED_EPOCH: Final = -1
"""Of a delivery that must never be acknowledged."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What AMQP says of a producer's message beside its body."""

    reply_to: str | None = None
    correlation_id: str | None = None
    trace: str | None = None
    trace_state: str | None = None


class SchedulerCore:
    """Everything that the scheduler decides.

    Args:
        settings: thresholds and bounds.
        catalogue: the models of the directory.
        origin: who places, for the task messages.
    """

    def __init__(self, settings: Settings, catalogue: Catalogue, *, origin: str) -> None:
        self.effects = PendingEffects()
        self.backends = BackendStates(settings.backfill, InteractiveYield(settings.backfill_rest))
        self._max_attempts = settings.max_attempts
        self._known = RegistryView(catalogue)
        self.registry_synced: Callable[[], bool] = lambda: True
        """Whether all that was announced as deployed is known here. While it is not, no request is rejected
        for its model or its tensors: it waits."""
        self._warned_of_unsynced_registry = False
        self._frequencies = Frequencies(settings.window)
        self._idempotency = IdempotencyCache(settings.remembered)
        self._deduplicator = DeliveryDeduplicator(settings.remembered)
        self._cancelled = BoundedSet()
        self._emitter = OutcomeEmitter(self.effects, self._idempotency)
        self.breakers = Breakers(settings.breaker)
        self._feedback = FeedbackProcessor(self.backends, self.breakers, self.effects)
        self.dispatcher = Dispatcher(
            settings, self.backends, self.breakers, self.effects, self._emitter, origin=origin
        )
        resolver = StatusResolver(self.dispatcher, self.backends, self._idempotency)
        self._status = StatusFeed(lambda now: resolver.snapshot(self._known, now), resolver.held)
        self.dispatcher.on_change = self._status.changed

    def request(self, delivery: Delivery, body: bytes, envelope: Envelope, now: float) -> None:
        """Take a producer's message: place it, hold it, or give it its outcome."""
        try:
            request = decode_request(body, message_id=delivery.message_id)
        except ContractError as error:
            if not self._is_duplicate_delivery(delivery, error.request_id or body_digest(body)):
                self._emitter.unreadable(
                    delivery,
                    body,
                    error,
                    now,
                    reply_to=envelope.reply_to,
                    correlation_id=envelope.correlation_id,
                    content=body_digest(body),
                )
            return
        reply = reply_address(envelope.reply_to, envelope.correlation_id, request.id)
        content = digest(request)
        if self._is_duplicate_delivery(delivery, request.id) or self._replay_if_repeated(
            delivery, request.id, content, reply, now
        ):
            return
        self._idempotency.remember(request.id, content)
        try:
            if request.id in self._cancelled:
                raise RequestRejected("cancelled", "cancelled", "it was cancelled before it was placed")
            terms = RequestMetadata(reply, content, envelope.trace, envelope.trace_state)
            self._admit(delivery, body, request, terms, now)
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
            self._emitter.finish(outcome, reply, delivery)

    def returned(self, delivery: Delivery, body: bytes, kind: str | None, now: float) -> None:
        """Take a message that comes back from a delay queue: a ticket, or a recall."""
        try:
            if kind == names.TYPE_RECALL:
                recall = decode(body, Recall)
                if not self._is_duplicate_delivery(delivery, recall.request_id):
                    self._recall_again(delivery, recall, now)
                return
            ticket = decode(body, Ticket)
            request = decode_request(bytes(ticket.request))
        except ContractError as error:
            if not self._is_duplicate_delivery(delivery, body_digest(body)):
                self.effects.send(messages.dead(delivery, body, f"not a ticket: {error}"))
            return
        if self._is_duplicate_delivery(delivery, request.id):
            return
        self.dispatcher.on_return(request, ticket)
        if self._idempotency.ended(request.id):  # what was done twice after a lost connection ends once
            self.effects.acknowledge(delivery)
            return
        self._idempotency.remember(request.id, ticket.digest)
        case = self._case(delivery, request, ticket, now)
        if case is not None and not self._finish_if_done(case, now):
            self.dispatcher.submit(case, now)

    def attempts(self, delivery: Delivery, body: bytes, now: float) -> None:
        """Take the failed attempts of one task: each request is placed again later, or ends."""
        try:
            failed = decode(body, FailedAttempts).failed
        except ContractError as error:
            if not self._is_duplicate_delivery(delivery, body_digest(body)):
                self.effects.send(messages.dead(delivery, body, f"not failed attempts: {error}"))
            return
        if self._is_duplicate_delivery(delivery, delivery.message_id or body_digest(body)):
            return
        delivery.pending += 1
        read = [(item, request) for item in failed if (request := self._read(delivery, item)) is not None]
        self._feedback.failed(read, now)
        for item, request in read:
            if self._idempotency.ended(request.id):
                continue
            self._idempotency.remember(request.id, item.ticket.digest)
            item.ticket.attempts.append(item.attempt)
            self._retry(delivery, request, item.ticket, now)
        self.effects.close(delivery)

    def cancel(self, delivery: Delivery, body: bytes, envelope: Envelope, now: float) -> None:
        """Take the wish that a request be not answered: what is held ends here, the rest where it is met."""
        try:
            request_id = canonical(decode(body, Cancel).id)
        except ContractError:
            request_id = None
        if self._is_duplicate_delivery(delivery, request_id or body_digest(body)):
            return
        if request_id is None:
            self.effects.send(
                messages.dead(delivery, body, "not a wish to cancel: it has no id that is a UUID")
            )
            return
        verdict = self._cancel(delivery, request_id, now)
        log.info("request %s is to be cancelled: %s", request_id, verdict)
        address = reply_address(envelope.reply_to, envelope.correlation_id, request_id)
        if address is not None:
            self.effects.send(messages.cancel_answer(request_id, verdict, address, delivery))
        elif verdict == "ended":
            self.effects.acknowledge(delivery)

    def cancelled(self, request_id: str) -> None:
        """Take note of an entry in the stream of cancelled ids, by this scheduler or one before it."""
        self._cancelled.add(request_id)

    def deployed(self, deployed: Deployed) -> None:
        """Take what is deployed from now on; what was placed or is held keeps the version it has."""
        self._warned_of_unsynced_registry = False
        self._known = self._known.updated(deployed)

    def heartbeat(self, body: bytes, now: float) -> None:
        """Take a worker's state; a healthier backend may release what is held."""
        try:
            self.backends.heartbeat(decode(body, Heartbeat), now)
        except ContractError as error:
            log.warning("a heartbeat cannot be read: %s", error)
            return
        self._log_membership_changes()
        self.dispatcher.release(now)

    def feedback(self, body: bytes, now: float) -> None:
        """Take a worker's word on what it has done; free slots may release what is held."""
        try:
            feedback = decode(body, Feedback)
        except ContractError as error:
            log.warning("feedback cannot be read: %s", error)
            return
        self._feedback.ended(feedback, now)
        for done in feedback.done:
            if done.state is not None:
                self._idempotency.end(done.id)
        self.dispatcher.release(now)

    def breaker(self, body: bytes, now: float) -> None:
        """Take the leader's word on a breaker, while this scheduler is a standby."""
        if self._feedback.is_leader:
            return  # our own
        try:
            state = decode(body, BreakerState)
        except ContractError as error:
            log.warning("a breaker's state cannot be read: %s", error)
            return
        why = (state.why or "it keeps failing") if state.open else ""
        self.breakers.sync(state.backend, state.model, why, now)

    def set_leader(self, *, leading: bool) -> None:
        """Take note whether this scheduler is the one that works, or a standby."""
        self._feedback.is_leader = leading
        if not leading:
            self._status.clear()

    def tick(self, now: float) -> None:
        """Let time pass: workers fall silent, deadlines pass, long holds move to the broker."""
        self.backends.tick(now)
        self._log_membership_changes()
        self._feedback.tick(now)
        self.dispatcher.tick(now)
        self.dispatcher.release(now)
        if self._feedback.is_leader:
            for events in self._status.tick(now):
                self.effects.send(messages.status(events))

    def handle_internal_error(
        self, delivery: Delivery, body: bytes, error: Exception, now: float, envelope: Envelope | None = None
    ) -> None:
        """Keep a message whose processing broke off by a fault of ours, and end its request where it has one.

        Without this the fault would cost the connection, and with it a delivery of every unacknowledged
        message, until the delivery limit takes the guilty and the innocent alike.
        """
        stand_in = replace(delivery, pending=0)
        delivery.epoch = NEVER_ACKED_EPOCH
        self._deduplicator.disown(delivery)
        why = f"the scheduler met a fault of its own, {type(error).__name__}: {error}"
        self.effects.send(messages.dead(stand_in, body, why))
        request_id = extract_request_id(delivery, body)
        if request_id is not None and not self._idempotency.ended(request_id):
            outcome = outcome_factory.refusal(
                request_id, None, state="failed", error_class="scheduler_fault", error=why, now=now
            )
            asked = (
                envelope if envelope is not None and delivery.queue in names.REQUEST_QUEUES else Envelope()
            )
            reply = reply_address(asked.reply_to, asked.correlation_id, request_id)
            self._emitter.finish(outcome, reply, stand_in)

    def on_connection_lost(self) -> None:
        """The consuming connection is gone: what is held is delivered again, and feedback was missed."""
        for case in self.dispatcher.drop_held():
            self._deduplicator.forget(case.delivery, case.request.id)
            if case.delivery.queue != names.RETURNS_QUEUE:
                self._idempotency.forget(case.request.id)
        self.backends.reset_in_flight()

    def _log_membership_changes(self) -> None:
        for membership_change in self.backends.membership_changes():
            for sentence in describe(membership_change):
                log.warning("%s", sentence)

    def _admit(
        self,
        delivery: Delivery,
        body: bytes,
        request: Request,
        terms: RequestMetadata,
        now: float,
    ) -> None:
        ticket = make_ticket(request, body, terms, now)
        try:
            spec = resolve_model(request, ticket, self._known, self.registry_synced)
        except RequestRejected as why:
            if self.registry_synced():
                raise
            check_deadline(request, ticket, now)
            self._defer_until_registry_synced(request, ticket, delivery, why, now)
            return
        f_t = 0.0
        if request.class_ == "interactive":
            f_t = self._frequencies.observe(spec.name, clamped_submitted_at(request, now))
        check_deadline(request, ticket, now)
        self.dispatcher.submit(PendingRequest(request, ticket, spec, delivery, f_t), now, fresh=True)

    def _case(
        self, delivery: Delivery, request: Request, ticket: Ticket, now: float
    ) -> PendingRequest | None:
        """Make a case of a ticket that comes back; None where its model is not there: it ends, or waits."""
        try:
            spec = resolve_model(request, ticket, self._known, self.registry_synced)
        except RequestRejected as why:
            self._finish_unresolvable(delivery, request, ticket, why, now)
            return None
        f_t = self._frequencies.rate(spec.name, now) if request.class_ == "interactive" else 0.0
        return PendingRequest(request, ticket, spec, delivery, f_t)

    def _finish_unresolvable(
        self, delivery: Delivery, request: Request, ticket: Ticket, why: RequestRejected, now: float
    ) -> None:
        state, error_class, error = why.state, why.error_class, str(why)
        if request.id in self._cancelled:
            state, error_class, error = "cancelled", "cancelled", "it was cancelled before it was placed"
        elif ticket.deadline <= now:
            state, error_class = "expired", "deadline"
            error = f"the deadline passed before all that is deployed was known: {why}"
        elif not self.registry_synced():
            self._defer_until_registry_synced(request, ticket, delivery, why, now)
            return
        elif ticket.version is not None:
            state = "failed"  # it was accepted, and its model was removed since
        outcome = outcome_factory.ending(
            ticket, request, state=state, error_class=error_class, error=error, now=now
        )
        self._emitter.finish(outcome, ticket.reply, delivery)

    def _defer_until_registry_synced(
        self, request: Request, ticket: Ticket, delivery: Delivery, why: RequestRejected, now: float
    ) -> None:
        """Let a request come again that is refused by what is known here, which is not all."""
        if not self._warned_of_unsynced_registry:
            self._warned_of_unsynced_registry = True
            log.warning(
                "requests wait, since it is not read yet what is deployed; the first is %s: %s",
                request.id,
                why,
            )
        ticket.held_since = ticket.held_since or now
        self.dispatcher.defer(request, ticket, delivery, now)

    def _finish_if_done(self, case: PendingRequest, now: float) -> bool:
        """End a case that must not be placed any more; False where it may."""
        if case.request.id in self._cancelled:
            self._emitter.cancel(case.request, case.ticket, case.delivery, now)
        elif case.ticket.deadline <= now:
            self._emitter.expire(case, now, self.dispatcher.held_reason(case, now))
        else:
            return False
        return True

    def _cancel(self, delivery: Delivery, request_id: str, now: float) -> CancelResult:
        seen = self._idempotency.find(request_id)
        if seen is not None and seen.ended:
            return "ended"
        self._cancelled.add(request_id)
        held = self.dispatcher.take_held(request_id)
        for case in held:
            self._emitter.cancel(case.request, case.ticket, case.delivery, now)
            self.effects.close(case.delivery)
        delayed = self.dispatcher.take_delayed(request_id)
        if delayed is not None:  # what comes back of it is dropped, since it has ended
            self._emitter.cancel(delayed.request, delayed.ticket, delivery, now)
        # What is held may be on its way a second time, after a lost connection: all shall know.
        self.effects.send(messages.cancelled(request_id, delivery))
        if held or delayed is not None:
            return "cancelled"
        return "noted" if seen is not None else "unknown"

    def _read(self, delivery: Delivery, item: FailedAttempt) -> Request | None:
        try:
            return decode_request(bytes(item.ticket.request))
        except ContractError as error:
            self.effects.send(messages.dead(delivery, msgspec.json.encode(item), f"not a request: {error}"))
            return None

    def _retry(self, delivery: Delivery, request: Request, ticket: Ticket, now: float) -> None:
        case = self._case(delivery, request, ticket, now)
        if case is None or self._finish_if_done(case, now):
            return
        decision = retries.decide(ticket, request, case.spec, max_attempts=self._max_attempts, now=now)
        if isinstance(decision, retries.GiveUp):
            self._emitter.end(
                case, now, state="failed", error_class=decision.error_class, error=decision.error
            )
        elif isinstance(decision, retries.DeadlineExceeded):
            self._emitter.expire(case, now)
        else:
            ticket.excluded = decision.excluded
            ticket.backend = ticket.reason = ticket.placed_at = ticket.held_since = None
            if not (decision.at_once and self.dispatcher.place_now(case, now)):
                self.dispatcher.delay(request, ticket, delivery, decision.delay, now)

    def _replay_if_repeated(
        self, delivery: Delivery, request_id: str, content: str, reply: ReplyAddress | None, now: float
    ) -> bool:
        """Have an id that was seen before answered with its first outcome; False where it is new."""
        seen = self._idempotency.find(request_id)
        if seen is None:
            return False
        conflict = not seen.matches(content)
        recall = Recall(request_id=request_id, digest=content, conflict=conflict, seen_at=now, reply=reply)
        self._recall(delivery, recall, ready=seen.ended or conflict)
        return True

    def _recall_again(self, delivery: Delivery, recall: Recall, now: float) -> None:
        """A repeated id waited for its first outcome; while that is not there, it waits on."""
        seen = self._idempotency.find(recall.request_id)
        waits = seen is not None and not seen.ended and now - recall.seen_at < MAX_MEMORY_HOLD_S
        self._recall(delivery, recall, ready=not waits)

    def _recall(self, delivery: Delivery, recall: Recall, *, ready: bool) -> None:
        if ready:
            self.effects.send(messages.recall(recall, delivery))
        else:
            self.effects.send(messages.delayed(recall, [delivery], names.DELAYS_MS[0]))

    def _is_duplicate_delivery(self, delivery: Delivery, extract_request_id: str) -> bool:
        """Whether this message is in work already, or done and only to be acknowledged."""
        verdict, earlier = self._deduplicator.take(delivery, extract_request_id)
        if verdict == "duplicate":
            self.effects.acknowledge(delivery)
        elif verdict == "redelivered" and earlier.pending == 0:
            self.effects.acknowledge(replace(earlier))
        return verdict != "new"
