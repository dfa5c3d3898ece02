"""The scheduler without its sockets: messages and time in, publishes and acknowledgements out.

Nothing here reads a clock or does I/O; `scheduler.service` feeds it and carries out what its outbox holds.
"""

import logging
from dataclasses import dataclass, replace

import msgspec

from scheduler import endings, messages, retries
from scheduler.closing import Closer
from scheduler.deliveries import Delivery, Outbox
from scheduler.holds import Case
from scheduler.intake import Refused, Terms, digest, find_model, make_ticket, reply_address, submitted
from scheduler.placement.frequency import Frequencies
from scheduler.placing import LONGEST_HOLD, Placer
from scheduler.pools import Pools
from scheduler.repeats import Repeats
from scheduler.settings import Settings
from straightline import names
from straightline.catalogue import Catalogue
from straightline.contracts import (
    FailedAttempts,
    Feedback,
    Heartbeat,
    Recall,
    ReplyAddress,
    Request,
    Ticket,
    decode_request,
)
from straightline.errors import ContractError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Envelope:
    """What AMQP says of a producer's message beside its body."""

    reply_to: str | None = None
    correlation_id: str | None = None
    trace: str | None = None


class Core:
    """Everything that the scheduler decides.

    Args:
        settings: thresholds and bounds.
        catalogue: the deployed models.
        origin: who places, for the task messages.
    """

    def __init__(self, settings: Settings, catalogue: Catalogue, *, origin: str) -> None:
        self.outbox = Outbox()
        self.pools = Pools()
        self._max_attempts = settings.max_attempts
        self._catalogue = catalogue
        self._frequencies = Frequencies(settings.window)
        self._repeats = Repeats(settings.remembered)
        self._closer = Closer(self.outbox, self._repeats)
        self.placer = Placer(settings, self.pools, self.outbox, self._closer, origin=origin)

    def request(self, delivery: Delivery, body: bytes, envelope: Envelope, now: float) -> None:
        """Take a producer's message: place it, hold it, or give it its outcome."""
        try:
            request = decode_request(body, message_id=delivery.message_id)
        except ContractError as error:
            self._closer.unreadable(
                delivery,
                body,
                error,
                now,
                reply_to=envelope.reply_to,
                correlation_id=envelope.correlation_id,
            )
            return
        reply = reply_address(envelope.reply_to, envelope.correlation_id, request.id)
        content = digest(request)
        if self._resumed(request.id, delivery) or self._repeated(delivery, request.id, content, reply, now):
            return
        self._repeats.remember(request.id, content, delivery)
        try:
            self._admit(delivery, body, request, Terms(reply, envelope.trace, content), now)
        except Refused as why:
            outcome = endings.refusal(
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
                self._recall_again(delivery, msgspec.json.decode(body, type=Recall), now)
                return
            ticket = msgspec.json.decode(body, type=Ticket)
            request = decode_request(bytes(ticket.request))
        except (msgspec.MsgspecError, ContractError) as error:
            self.outbox.send(messages.dead(delivery, body, f"not a ticket: {error}"))
            return
        if self._resumed(request.id, delivery):
            return
        self._repeats.remember(request.id, ticket.digest, delivery)
        case = self._case(delivery, request, ticket, now)
        if case is not None and ticket.deadline <= now:
            self._closer.expire(case, now)
        elif case is not None:
            self.placer.enter(case, now)

    def attempts(self, delivery: Delivery, body: bytes, now: float) -> None:
        """Take the failed attempts of one task: each request is placed again later, or ends."""
        try:
            failed = msgspec.json.decode(body, type=FailedAttempts).failed
            requests = [decode_request(bytes(item.ticket.request)) for item in failed]
        except (msgspec.MsgspecError, ContractError) as error:
            self.outbox.send(messages.dead(delivery, body, f"not failed attempts: {error}"))
            return
        if requests and self._resumed(requests[0].id, delivery):
            return
        delivery.open += 1
        for item, request in zip(failed, requests, strict=True):
            self.pools.left(item.attempt.backend, request.id)
            self._repeats.remember(request.id, item.ticket.digest, delivery)
            item.ticket.attempts.append(item.attempt)
            self._retry(delivery, request, item.ticket, now)
        self.outbox.close(delivery)

    def heartbeat(self, body: bytes, now: float) -> None:
        """Take a worker's state; a healthier backend may release what is held."""
        try:
            self.pools.heartbeat(msgspec.json.decode(body, type=Heartbeat), now)
        except msgspec.MsgspecError as error:
            log.warning("a heartbeat cannot be read: %s", error)
            return
        self.placer.release(now)

    def feedback(self, body: bytes, now: float) -> None:
        """Take a worker's word on what it has done; free slots may release what is held."""
        try:
            feedback = msgspec.json.decode(body, type=Feedback)
        except msgspec.MsgspecError as error:
            log.warning("feedback cannot be read: %s", error)
            return
        self.pools.feedback(feedback)
        for done in feedback.done:
            if done.state is not None:
                self._repeats.end(done.id)
        self.placer.release(now)

    def tick(self, now: float) -> None:
        """Let time pass: workers fall silent, deadlines pass, long holds move to the broker."""
        self.pools.tick(now)
        self.placer.tick(now)
        self.placer.release(now)

    def inputs_lost(self) -> None:
        """The consuming connection is gone: what is held is delivered again, and feedback was missed."""
        for case in self.placer.drop_held():
            self._repeats.forget(case.request.id)
        self.pools.forget_in_flight()

    def _admit(
        self,
        delivery: Delivery,
        body: bytes,
        request: Request,
        terms: Terms,
        now: float,
    ) -> None:
        spec = find_model(request, self._catalogue)
        f_t = 0.0
        if request.class_ == "interactive":
            f_t = self._frequencies.observe(spec.name, submitted(request, now))
        ticket = make_ticket(request, body, spec, terms, now)
        self.placer.enter(Case(request, ticket, spec, delivery, f_t), now)

    def _case(self, delivery: Delivery, request: Request, ticket: Ticket, now: float) -> Case | None:
        """Make a case of a ticket that comes back; where its model is gone, end it and return None."""
        try:
            spec = find_model(request, self._catalogue)
        except Refused as why:
            outcome = endings.ending(
                ticket, request, state="failed", error_class=why.error_class, error=str(why), now=now
            )
            self._closer.finish(outcome, ticket.reply, delivery)
            return None
        ticket.version = spec.version
        f_t = self._frequencies.rate(spec.name, now) if request.class_ == "interactive" else 0.0
        return Case(request, ticket, spec, delivery, f_t)

    def _retry(self, delivery: Delivery, request: Request, ticket: Ticket, now: float) -> None:
        case = self._case(delivery, request, ticket, now)
        if case is None:
            return
        decision = retries.after(ticket, request, case.spec, max_attempts=self._max_attempts)
        if isinstance(decision, retries.GiveUp):
            self._closer.end(
                case, now, state="failed", error_class=decision.error_class, error=decision.error
            )
        elif now + decision.delay / 1000 >= ticket.deadline:
            self._closer.expire(case, now)
        else:
            ticket.excluded = decision.excluded
            ticket.backend = ticket.reason = ticket.placed_at = None
            self.outbox.send(messages.delayed(ticket, [delivery], decision.delay))

    def _repeated(
        self, delivery: Delivery, request_id: str, content: str, reply: ReplyAddress | None, now: float
    ) -> bool:
        """Have an id that was seen before answered with its first outcome; False where it is new."""
        seen = self._repeats.find(request_id)
        if seen is None:
            return False
        conflict = content != seen.digest
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
            self.outbox.send(messages.recall(recall, delivery))
        else:
            self.outbox.send(messages.delayed(recall, [delivery], names.DELAYS_MS[0]))

    def _resumed(self, request_id: str, delivery: Delivery) -> bool:
        """Whether this is a redelivery of what is in work already, or done and only to be acknowledged."""
        earlier = self._repeats.resume(request_id, delivery)
        if earlier is None:
            return False
        if earlier.open == 0:
            self.outbox.acknowledge(replace(earlier))
        return True
