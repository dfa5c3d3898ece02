"""The scheduler without its sockets: messages and time in, publishes and acknowledgements out.

Nothing here reads a clock or does I/O; `scheduler.broker.service` feeds it and carries out its dues.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from scheduler.admission.admission import (
    Refused,
    Terms,
    in_time,
    make_ticket,
    reply_address,
    settle,
    submitted,
)
from scheduler.admission.decoding import UNREADABLE, fingerprint, subject
from scheduler.admission.delivery_dedup import Redeliveries
from scheduler.admission.idempotency import Repeats
from scheduler.dispatch.backfill import Courtesy
from scheduler.dispatch.dispatcher import LONGEST_HOLD, Placer
from scheduler.dispatch.hold_queue import Case
from scheduler.effects import Delivery, Dues
from scheduler.feedback import retries
from scheduler.feedback.backend_state import Pools
from scheduler.feedback.breakers import Breakers
from scheduler.feedback.feedback import Calls
from scheduler.feedback.membership_log import told
from scheduler.output import messages, outcome_factory
from scheduler.output.outcome_emitter import Closer
from scheduler.output.status_query import Finder
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
from straightline.contracts.cancel import Verdict
from straightline.contracts.deployed import Deployed
from straightline.contracts.status_query import read_question
from straightline.errors import ContractError
from straightline.ids import canonical
from straightline.models.catalogue import Catalogue
from straightline.models.registry_view import Known
from straightline.producer.content_digest import digest
from straightline.support.bounded_set import Cancelled

log = logging.getLogger(__name__)

NO_EPOCH: Final = -1
"""Of a delivery that must never be acknowledged."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What AMQP says of a producer's message beside its body."""

    reply_to: str | None = None
    correlation_id: str | None = None
    trace: str | None = None
    trace_state: str | None = None


class Core:
    """Everything that the scheduler decides.

    Args:
        settings: thresholds and bounds.
        catalogue: the models of the directory.
        origin: who places, for the task messages.
    """

    def __init__(self, settings: Settings, catalogue: Catalogue, *, origin: str) -> None:
        self.dues = Dues()
        self.pools = Pools(settings.backfill, Courtesy(settings.backfill_rest))
        self._max_attempts = settings.max_attempts
        self._known = Known(catalogue)
        self.informed: Callable[[], bool] = lambda: True
        """Whether all that was announced as deployed is known here. While it is not, no request is rejected
        for its model or its tensors: it waits."""
        self._told_of_waiting = False
        self._frequencies = Frequencies(settings.window)
        self._repeats = Repeats(settings.remembered)
        self._redeliveries = Redeliveries(settings.remembered)
        self._cancelled = Cancelled()
        self._closer = Closer(self.dues, self._repeats)
        self.breakers = Breakers(settings.breaker)
        self._calls = Calls(self.pools, self.breakers, self.dues)
        self.placer = Placer(settings, self.pools, self.breakers, self.dues, self._closer, origin=origin)
        self._finder = Finder(self.placer, self.pools, self._repeats)

    def request(self, delivery: Delivery, body: bytes, envelope: Envelope, now: float) -> None:
        """Take a producer's message: place it, hold it, or give it its outcome."""
        try:
            request = decode_request(body, message_id=delivery.message_id)
        except ContractError as error:
            if not self._taken(delivery, error.request_id or fingerprint(body)):
                self._closer.unreadable(
                    delivery,
                    body,
                    error,
                    now,
                    reply_to=envelope.reply_to,
                    correlation_id=envelope.correlation_id,
                    content=fingerprint(body),
                )
            return
        reply = reply_address(envelope.reply_to, envelope.correlation_id, request.id)
        content = digest(request)
        if self._taken(delivery, request.id) or self._repeated(delivery, request.id, content, reply, now):
            return
        self._repeats.remember(request.id, content)
        try:
            if request.id in self._cancelled:
                raise Refused("cancelled", "cancelled", "it was cancelled before it was placed")
            terms = Terms(reply, content, envelope.trace, envelope.trace_state)
            self._admit(delivery, body, request, terms, now)
        except Refused as why:
            outcome = outcome_factory.refusal(
                request.id,
                request,
                state=why.state,
                error_class=why.error_class,
                error=str(why),
                now=now,
                content=content,
            )
            self._closer.finish(outcome, reply, delivery)

    def returned(self, delivery: Delivery, body: bytes, kind: str | None, now: float) -> None:
        """Take a message that comes back from a delay queue: a ticket, or a recall."""
        try:
            if kind == names.TYPE_RECALL:
                recall = msgspec.json.decode(body, type=Recall)
                if not self._taken(delivery, recall.request_id):
                    self._recall_again(delivery, recall, now)
                return
            ticket = msgspec.json.decode(body, type=Ticket)
            request = decode_request(bytes(ticket.request))
        except (*UNREADABLE, ContractError) as error:
            if not self._taken(delivery, fingerprint(body)):
                self.dues.send(messages.dead(delivery, body, f"not a ticket: {error}"))
            return
        if self._taken(delivery, request.id):
            return
        self.placer.came_back(request, ticket)
        if self._repeats.ended(request.id):  # what was done twice after a lost connection ends once
            self.dues.acknowledge(delivery)
            return
        self._repeats.remember(request.id, ticket.digest)
        case = self._case(delivery, request, ticket, now)
        if case is not None and not self._over(case, now):
            self.placer.enter(case, now)

    def attempts(self, delivery: Delivery, body: bytes, now: float) -> None:
        """Take the failed attempts of one task: each request is placed again later, or ends."""
        try:
            failed = msgspec.json.decode(body, type=FailedAttempts).failed
        except UNREADABLE as error:
            if not self._taken(delivery, fingerprint(body)):
                self.dues.send(messages.dead(delivery, body, f"not failed attempts: {error}"))
            return
        if self._taken(delivery, delivery.message_id or fingerprint(body)):
            return
        delivery.open += 1
        read = [(item, request) for item in failed if (request := self._read(delivery, item)) is not None]
        self._calls.failed(read, now)
        for item, request in read:
            if self._repeats.ended(request.id):
                continue
            self._repeats.remember(request.id, item.ticket.digest)
            item.ticket.attempts.append(item.attempt)
            self._retry(delivery, request, item.ticket, now)
        self.dues.close(delivery)

    def cancel(self, delivery: Delivery, body: bytes, envelope: Envelope, now: float) -> None:
        """Take the wish that a request be not answered: what is held ends here, the rest where it is met."""
        try:
            request_id = canonical(msgspec.json.decode(body, type=Cancel).id)
        except UNREADABLE:
            request_id = None
        if self._taken(delivery, request_id or fingerprint(body)):
            return
        if request_id is None:
            self.dues.send(messages.dead(delivery, body, "not a wish to cancel: it has no id that is a UUID"))
            return
        verdict = self._cancel(delivery, request_id, now)
        log.info("request %s is to be cancelled: %s", request_id, verdict)
        address = reply_address(envelope.reply_to, envelope.correlation_id, request_id)
        if address is not None:
            self.dues.send(messages.cancel_answer(request_id, verdict, address, delivery))
        elif verdict == "ended":
            self.dues.acknowledge(delivery)

    def cancelled(self, request_id: str) -> None:
        """Take note of an entry in the stream of cancelled ids, by this scheduler or one before it."""
        self._cancelled.add(request_id)

    def deployed(self, deployed: Deployed) -> None:
        """Take what is deployed from now on; what was placed or is held keeps the version it has."""
        self._told_of_waiting = False
        self._known = self._known.learn(deployed)

    def heartbeat(self, body: bytes, now: float) -> None:
        """Take a worker's state; a healthier backend may release what is held."""
        try:
            self.pools.heartbeat(msgspec.json.decode(body, type=Heartbeat), now)
        except UNREADABLE as error:
            log.warning("a heartbeat cannot be read: %s", error)
            return
        self._tell_musters()
        self.placer.release(now)

    def feedback(self, body: bytes, now: float) -> None:
        """Take a worker's word on what it has done; free slots may release what is held."""
        try:
            feedback = msgspec.json.decode(body, type=Feedback)
        except UNREADABLE as error:
            log.warning("feedback cannot be read: %s", error)
            return
        self._calls.ended(feedback, now)
        for done in feedback.done:
            if done.state is not None:
                self._repeats.end(done.id)
        self.placer.release(now)

    def breaker(self, body: bytes, now: float) -> None:
        """Take the leader's word on a breaker, while this scheduler is a standby."""
        if self._calls.telling:
            return  # our own
        try:
            state = msgspec.json.decode(body, type=BreakerState)
        except UNREADABLE as error:
            log.warning("a breaker's state cannot be read: %s", error)
            return
        why = (state.why or "it keeps failing") if state.open else ""
        self.breakers.told(state.backend, state.model, why, now)

    def question(self, body: bytes, now: float) -> None:
        """Answer who asks where a request is; a standby, who has none of them, says nothing."""
        if not self._calls.telling:
            return
        try:
            question = read_question(body)
        except ContractError as error:
            log.warning("a question where a request is cannot be read: %s", error)
            return
        found = self._finder.find(question.id, self._known, now)
        self.dues.send(messages.whereabouts(found, question))

    def lead(self, *, leading: bool) -> None:
        """Take note whether this scheduler is the one that works, or a standby."""
        self._calls.telling = leading

    def tick(self, now: float) -> None:
        """Let time pass: workers fall silent, deadlines pass, long holds move to the broker."""
        self.pools.tick(now)
        self._tell_musters()
        self._calls.tick(now)
        self.placer.tick(now)
        self.placer.release(now)

    def baffled(
        self, delivery: Delivery, body: bytes, error: Exception, now: float, envelope: Envelope | None = None
    ) -> None:
        """Keep a message whose processing broke off by a fault of ours, and end its request where it has one.

        Without this the fault would cost the connection, and with it a delivery of every unacknowledged
        message, until the delivery limit takes the guilty and the innocent alike.
        """
        stand_in = replace(delivery, open=0)
        delivery.epoch = NO_EPOCH
        self._redeliveries.disown(delivery)
        why = f"the scheduler met a fault of its own, {type(error).__name__}: {error}"
        self.dues.send(messages.dead(stand_in, body, why))
        request_id = subject(delivery, body)
        if request_id is not None and not self._repeats.ended(request_id):
            outcome = outcome_factory.refusal(
                request_id, None, state="failed", error_class="scheduler_fault", error=why, now=now
            )
            asked = (
                envelope if envelope is not None and delivery.queue in names.REQUEST_QUEUES else Envelope()
            )
            reply = reply_address(asked.reply_to, asked.correlation_id, request_id)
            self._closer.finish(outcome, reply, stand_in)

    def inputs_lost(self) -> None:
        """The consuming connection is gone: what is held is delivered again, and feedback was missed."""
        for case in self.placer.drop_held():
            self._redeliveries.forget(case.delivery, case.request.id)
            if case.delivery.queue != names.RETURNS_QUEUE:
                self._repeats.forget(case.request.id)
        self.pools.forget_in_flight()

    def _tell_musters(self) -> None:
        for muster in self.pools.musters():
            for sentence in told(muster):
                log.warning("%s", sentence)

    def _admit(
        self,
        delivery: Delivery,
        body: bytes,
        request: Request,
        terms: Terms,
        now: float,
    ) -> None:
        ticket = make_ticket(request, body, terms, now)
        try:
            spec = settle(request, ticket, self._known, self.informed)
        except Refused as why:
            if self.informed():
                raise
            in_time(request, ticket, now)
            self._await_word(request, ticket, delivery, why, now)
            return
        f_t = 0.0
        if request.class_ == "interactive":
            f_t = self._frequencies.observe(spec.name, submitted(request, now))
        in_time(request, ticket, now)
        self.placer.enter(Case(request, ticket, spec, delivery, f_t), now, fresh=True)

    def _case(self, delivery: Delivery, request: Request, ticket: Ticket, now: float) -> Case | None:
        """Make a case of a ticket that comes back; None where its model is not there: it ends, or waits."""
        try:
            spec = settle(request, ticket, self._known, self.informed)
        except Refused as why:
            self._without_model(delivery, request, ticket, why, now)
            return None
        f_t = self._frequencies.rate(spec.name, now) if request.class_ == "interactive" else 0.0
        return Case(request, ticket, spec, delivery, f_t)

    def _without_model(
        self, delivery: Delivery, request: Request, ticket: Ticket, why: Refused, now: float
    ) -> None:
        state, error_class, error = why.state, why.error_class, str(why)
        if request.id in self._cancelled:
            state, error_class, error = "cancelled", "cancelled", "it was cancelled before it was placed"
        elif ticket.deadline <= now:
            state, error_class = "expired", "deadline"
            error = f"the deadline passed before all that is deployed was known: {why}"
        elif not self.informed():
            self._await_word(request, ticket, delivery, why, now)
            return
        elif ticket.version is not None:
            state = "failed"  # it was accepted, and its model was removed since
        outcome = outcome_factory.ending(
            ticket, request, state=state, error_class=error_class, error=error, now=now
        )
        self._closer.finish(outcome, ticket.reply, delivery)

    def _await_word(
        self, request: Request, ticket: Ticket, delivery: Delivery, why: Refused, now: float
    ) -> None:
        """Let a request come again that is refused by what is known here, which is not all."""
        if not self._told_of_waiting:
            self._told_of_waiting = True
            log.warning(
                "requests wait, since it is not read yet what is deployed; the first is %s: %s",
                request.id,
                why,
            )
        ticket.held_since = ticket.held_since or now
        self.placer.put_off(request, ticket, delivery, now)

    def _over(self, case: Case, now: float) -> bool:
        """End a case that must not be placed any more; False where it may."""
        if case.request.id in self._cancelled:
            self._closer.cancel(case.request, case.ticket, case.delivery, now)
        elif case.ticket.deadline <= now:
            self._closer.expire(case, now, self.placer.why_held(case, now))
        else:
            return False
        return True

    def _cancel(self, delivery: Delivery, request_id: str, now: float) -> Verdict:
        seen = self._repeats.find(request_id)
        if seen is not None and seen.ended:
            return "ended"
        self._cancelled.add(request_id)
        held = self.placer.take_held(request_id)
        for case in held:
            self._closer.cancel(case.request, case.ticket, case.delivery, now)
            self.dues.close(case.delivery)
        delayed = self.placer.take_delayed(request_id)
        if delayed is not None:  # what comes back of it is dropped, since it has ended
            self._closer.cancel(delayed.request, delayed.ticket, delivery, now)
        # What is held may be on its way a second time, after a lost connection: all shall know.
        self.dues.send(messages.cancelled(request_id, delivery))
        if held or delayed is not None:
            return "cancelled"
        return "noted" if seen is not None else "unknown"

    def _read(self, delivery: Delivery, item: FailedAttempt) -> Request | None:
        try:
            return decode_request(bytes(item.ticket.request))
        except ContractError as error:
            self.dues.send(messages.dead(delivery, msgspec.json.encode(item), f"not a request: {error}"))
            return None

    def _retry(self, delivery: Delivery, request: Request, ticket: Ticket, now: float) -> None:
        case = self._case(delivery, request, ticket, now)
        if case is None or self._over(case, now):
            return
        decision = retries.after(ticket, request, case.spec, max_attempts=self._max_attempts, now=now)
        if isinstance(decision, retries.GiveUp):
            self._closer.end(
                case, now, state="failed", error_class=decision.error_class, error=decision.error
            )
        elif isinstance(decision, retries.TooLate):
            self._closer.expire(case, now)
        else:
            ticket.excluded = decision.excluded
            ticket.backend = ticket.reason = ticket.placed_at = ticket.held_since = None
            if not (decision.at_once and self.placer.place_now(case, now)):
                self.placer.delay(request, ticket, delivery, decision.delay)

    def _repeated(
        self, delivery: Delivery, request_id: str, content: str, reply: ReplyAddress | None, now: float
    ) -> bool:
        """Have an id that was seen before answered with its first outcome; False where it is new."""
        seen = self._repeats.find(request_id)
        if seen is None:
            return False
        conflict = not seen.asked(content)
        recall = Recall(request_id=request_id, digest=content, conflict=conflict, seen_at=now, reply=reply)
        self._recall(delivery, recall, ready=seen.ended or conflict)
        return True

    def _recall_again(self, delivery: Delivery, recall: Recall, now: float) -> None:
        """A repeated id waited for its first outcome; while that is not there, it waits on."""
        seen = self._repeats.find(recall.request_id)
        waits = seen is not None and not seen.ended and now - recall.seen_at < LONGEST_HOLD
        self._recall(delivery, recall, ready=not waits)

    def _recall(self, delivery: Delivery, recall: Recall, *, ready: bool) -> None:
        if ready:
            self.dues.send(messages.recall(recall, delivery))
        else:
            self.dues.send(messages.delayed(recall, [delivery], names.DELAYS_MS[0]))

    def _taken(self, delivery: Delivery, subject: str) -> bool:
        """Whether this message is in work already, or done and only to be acknowledged."""
        verdict, earlier = self._redeliveries.take(delivery, subject)
        if verdict == "copy":
            self.dues.acknowledge(delivery)
        elif verdict == "again" and earlier.open == 0:
            self.dues.acknowledge(replace(earlier))
        return verdict != "new"
