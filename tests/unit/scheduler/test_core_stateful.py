"""In any order of events no accepted request is lost, ends twice, or stays unacknowledged.

A model of the broker, the pools and the recorder around the real core. Connections are lost, confirms come
late or never, messages are redelivered or duplicated, backends fail, clocks jump back.
"""

import json
from collections import Counter, deque
from dataclasses import dataclass, replace
from itertools import count

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from scheduler.core import SchedulerCore
from scheduler.effects import Delivery, Effects, Send
from scheduler.events import ConnectionLost, Envelope, Event, Message, Signal, StatusDue, Tick
from scheduler.settings import Settings
from straightline import names
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts import (
    Attempt,
    Cancel,
    FailedAttempt,
    FailedAttempts,
    Feedback,
    Heartbeat,
    Outcome,
    OutcomeBatch,
    Recall,
    Ticket,
)
from straightline.contracts.signals import Completion
from straightline.ids import new_id
from straightline.models.catalogue import Catalogue
from tests.builders import make_attempt
from tests.unit.scheduler.harness import DIGITS, NOW, infer, request_body, tickets

SCHEDULER_QUEUES = (
    names.INTERACTIVE_QUEUE,
    names.BATCH_QUEUE,
    names.CANCELS_QUEUE,
    names.RETURNS_QUEUE,
    names.ATTEMPTS_QUEUE,
)
PREFETCH = 6


@dataclass(frozen=True)
class QueuedMessage:
    """A message in a queue of the broker."""

    queue: str
    body: bytes
    message_id: str | None
    type: str | None = None
    redelivered: bool = False


class SchedulerStateMachine(RuleBasedStateMachine):
    """Anything may happen; after each step nothing is lost, and in the end everything has settled once."""

    def __init__(self) -> None:
        super().__init__()
        limits = Settings(broker_url="", models_dir=".", d=2_000, hold_window=2, batch_prefetch=2)  # type: ignore[arg-type]
        self.core = SchedulerCore(limits, Catalogue({"digits": {"1": DIGITS}}), origin="test")
        self.now = NOW
        self.epoch = 1
        self.tags = count(1)
        self.ready: dict[str, deque[QueuedMessage]] = {queue: deque() for queue in SCHEDULER_QUEUES}
        self.unacked: dict[int, QueuedMessage] = {}
        self.sends: list[Send] = []  # until the next turn
        self.acks: list[Delivery] = []
        self.unconfirmed: list[Send] = []
        self.delayed: list[QueuedMessage] = []
        self.placed: list[Ticket] = []
        self.ledger: list[Outcome] = []
        self.recalls = 0
        self.dead: list[Outgoing] = []
        self.accepted: dict[str, bytes] = {}
        self.stream: list[str] = []  # what the pools know to be cancelled
        self.cancelled_ids: set[str] = set()
        self.copies = False  # whether the broker took a message twice since its confirm was lost

    def feed(self, event: Event) -> None:
        self.collect(self.core.handle(event, self.now))

    def collect(self, effects: Effects) -> None:
        self.sends += effects.send
        self.acks += effects.ack

    # --- producers -----------------------------------------------------------------------------------------

    @rule(
        batch=st.booleans(),
        images=st.sampled_from([1, 12]),
        lifetime=st.sampled_from([None, 0.5, 20.0]),
        model=st.sampled_from(["digits", "digits", "digits", "cats"]),
        named=st.booleans(),
    )
    def submit(self, *, batch: bool, images: int, lifetime: float | None, model: str, named: bool) -> None:
        request_id = new_id()
        body = request_body(
            self.now,
            id=request_id,
            model=model,
            data=infer(images),
            deadline=None if lifetime is None else self.now + lifetime,
            **{"class": "batch" if batch else "interactive"},
        )
        self.accepted[request_id] = body
        queue = names.BATCH_QUEUE if batch else names.INTERACTIVE_QUEUE
        self.ready[queue].append(QueuedMessage(queue, body, request_id if named else None))

    @precondition(lambda self: self.accepted)
    @rule(data=st.data(), broken=st.booleans())
    def repeat(self, data: st.DataObject, *, broken: bool) -> None:
        request_id = data.draw(st.sampled_from(list(self.accepted)))
        body = b"{" if broken else self.accepted[request_id]
        message = QueuedMessage(names.INTERACTIVE_QUEUE, body, request_id)
        self.ready[names.INTERACTIVE_QUEUE].append(message)

    @precondition(lambda self: self.accepted)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        request_id = data.draw(st.sampled_from(list(self.accepted)))
        self.cancelled_ids.add(request_id)
        body = json.dumps({"id": request_id}).encode()
        self.ready[names.CANCELS_QUEUE].append(QueuedMessage(names.CANCELS_QUEUE, body, new_id()))

    @rule(queue=st.sampled_from(SCHEDULER_QUEUES), body=st.sampled_from([b"{", b"[]", b"[" * 9_999]))
    def garbage(self, queue: str, body: bytes) -> None:
        self.ready[queue].append(QueuedMessage(queue, body, None, names.TYPE_TICKET))

    # --- the broker ----------------------------------------------------------------------------------------

    @rule(queue=st.sampled_from(SCHEDULER_QUEUES), most=st.integers(1, 4))
    def deliver(self, queue: str, most: int) -> None:
        for _ in range(most):
            held = sum(message.queue == queue for message in self.unacked.values())
            if not self.ready[queue] or held >= PREFETCH:
                return
            message = self.ready[queue].popleft()
            tag = next(self.tags)
            self.unacked[tag] = message
            delivery = Delivery(queue, self.epoch, tag, message.message_id, message.redelivered)
            envelope = Envelope("straightline.reply.test" if queue in names.REQUEST_QUEUES else None)
            self.feed(Message(delivery, message.body, message.type, envelope))

    @rule()
    def turn(self) -> None:
        self.collect(self.core.flush(self.now, final=True))
        self.unconfirmed += self.sends
        self.sends = []
        owed = {(cause.epoch, cause.tag) for send in self.unconfirmed for cause in send.causes}
        acks, self.acks = self.acks, []
        for delivery in {(ack.epoch, ack.tag): ack for ack in acks}.values():
            if delivery.epoch != self.epoch:
                continue
            assert (delivery.epoch, delivery.tag) not in owed, "acknowledged before it was confirmed"
            assert delivery.tag in self.unacked, "acknowledged twice"
            del self.unacked[delivery.tag]

    @precondition(lambda self: self.unconfirmed)
    @rule(data=st.data(), lost=st.booleans())
    def confirm(self, data: st.DataObject, *, lost: bool) -> None:
        """The broker takes a message; where its confirm is lost, it will be published again."""
        index = data.draw(st.integers(0, len(self.unconfirmed) - 1))
        self.route(self.unconfirmed[index].outgoing)
        if lost:
            self.copies = True
        else:
            self.collect(self.core.confirmed(self.unconfirmed.pop(index)))

    @rule(acks_lost=st.booleans())
    def lose_the_connection(self, *, acks_lost: bool) -> None:
        if acks_lost:
            self.acks.clear()
        self.turn()
        self.feed(ConnectionLost())
        self.epoch += 1
        for tag in sorted(self.unacked, reverse=True):
            message = self.unacked.pop(tag)
            self.ready[message.queue].appendleft(replace(message, redelivered=True))

    @precondition(lambda self: self.delayed)
    @rule(data=st.data())
    def come_back(self, data: st.DataObject) -> None:
        message = self.delayed.pop(data.draw(st.integers(0, len(self.delayed) - 1)))
        self.ready[names.RETURNS_QUEUE].append(message)

    def route(self, publish: Outgoing) -> None:
        if publish.routing_key == names.CANCELLED_KEY:
            self.stream.append(msgspec.json.decode(publish.body, type=Cancel).id)
        elif publish.exchange == names.PLACEMENTS:
            self.placed += tickets(publish)
        elif publish.exchange == names.DELAYS:
            message = QueuedMessage(names.RETURNS_QUEUE, publish.body, publish.message_id, publish.type)
            self.delayed.append(message)
        elif publish.exchange == names.DEAD:
            self.dead.append(publish)
        elif publish.type == names.TYPE_OUTCOMES:
            self.ledger += msgspec.json.decode(publish.body, type=OutcomeBatch).outcomes
        elif publish.type == names.TYPE_RECALL:
            msgspec.json.decode(publish.body, type=Recall)
            self.recalls += 1

    # --- the pools -----------------------------------------------------------------------------------------

    @rule(
        backend=st.sampled_from(names.BACKENDS),
        slots=st.integers(0, 3),
        active=st.integers(0, 3),
        healthy=st.booleans(),
        interval=st.sampled_from([0.0, 1.0, 1e300]),
    )
    def beat(
        self, backend: names.Backend, slots: int, active: int, interval: float, *, healthy: bool
    ) -> None:
        beat = Heartbeat(
            backend=backend,
            worker=f"{backend}@test",
            sent_at=self.now,
            interval=interval,
            slots=slots,
            active=active,
            healthy=healthy,
        )
        self.feed(Signal(names.HEARTBEAT_KEY, msgspec.json.encode(beat)))

    @precondition(lambda self: self.placed)
    @rule(data=st.data(), told=st.booleans())
    def answer(self, data: st.DataObject, *, told: bool) -> None:
        """A pool answers a request; its feedback may be lost."""
        ticket = self.placed.pop(data.draw(st.integers(0, len(self.placed) - 1)))
        assert ticket.backend is not None
        request_id = _id(ticket)
        state: names.State = "cancelled" if request_id in self.stream else "succeeded"
        self.ledger.append(Outcome(request_id=request_id, state=state, finished_at=self.now))
        if told:
            done = Completion(id=request_id, state=state)
            feedback = Feedback(backend=ticket.backend, worker="x", done=[done])
            self.feed(Signal(names.FEEDBACK_KEY, msgspec.json.encode(feedback)))

    @precondition(lambda self: self.placed)
    @rule(most=st.integers(1, 3))
    def fail(self, most: int) -> None:
        """A pool reports up to three attempts as failed, in one message."""
        taken, self.placed = self.placed[:most], self.placed[most:]
        failed = [FailedAttempt(ticket=ticket, attempt=_attempt(ticket, self.now)) for ticket in taken]
        body = msgspec.json.encode(FailedAttempts(failed=failed))
        self.ready[names.ATTEMPTS_QUEUE].append(QueuedMessage(names.ATTEMPTS_QUEUE, body, None))

    @rule(seconds=st.sampled_from([0.25, 1.0, 10.0, 61.0, -3_600.0]))
    def let_time_pass(self, seconds: float) -> None:
        self.now += seconds
        self.feed(Tick())
        self.feed(StatusDue())

    # --- what must hold ------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_lost(self) -> None:
        somewhere = {outcome.request_id for outcome in self.ledger} | {_id(t) for t in self.placed}
        waiting = [
            *self.unacked.values(),
            *self.delayed,
            *(m for queue in self.ready.values() for m in queue),
        ]
        text = b"".join([*(m.body for m in waiting), *(send.outgoing.body for send in self.unconfirmed)])
        for request_id in self.accepted.keys() - somewhere:
            assert request_id.encode() in text, "a request is nowhere"

    def teardown(self) -> None:
        """Let everything settle: all is delivered, confirmed and answered, and enough is free."""
        for _ in range(60):
            self.settle_a_little()
        assert not any(self.ready.values())
        assert self.unacked == {}, "a message is never acknowledged"
        assert self.core._dispatcher.holds.in_memory == 0
        ended = Counter(outcome.request_id for outcome in self.ledger)
        assert ended.keys() == self.accepted.keys()
        cancelled = {outcome.request_id for outcome in self.ledger if outcome.state == "cancelled"}
        assert cancelled <= self.cancelled_ids, "nobody wanted it cancelled"
        if not self.copies:
            assert set(ended.values()) <= {1}, "a request ended twice"

    def settle_a_little(self) -> None:
        self.now += 1.0
        for backend in names.BACKENDS:
            self.beat(backend, slots=100, active=0, interval=1.0, healthy=True)
        self.feed(Tick())
        self.feed(StatusDue())
        for message in self.delayed:
            self.ready[names.RETURNS_QUEUE].append(message)
        self.delayed = []
        for queue in SCHEDULER_QUEUES:
            self.deliver(queue, PREFETCH)
        self.turn()
        for send in self.unconfirmed:
            self.route(send.outgoing)
            self.collect(self.core.confirmed(send))
        self.unconfirmed = []
        self.turn()
        for ticket in self.placed:
            assert ticket.backend is not None
            self.ledger.append(Outcome(request_id=_id(ticket), state="succeeded", finished_at=self.now))
            feedback = Feedback(
                backend=ticket.backend, worker="x", done=[Completion(id=_id(ticket), state="succeeded")]
            )
            self.feed(Signal(names.FEEDBACK_KEY, msgspec.json.encode(feedback)))
        self.placed = []


def _id(ticket: Ticket) -> str:
    return str(json.loads(bytes(ticket.request))["id"])


def _attempt(ticket: Ticket, now: float) -> Attempt:
    assert ticket.backend is not None
    return make_attempt(
        number=len(ticket.attempts) + 1,
        backend=ticket.backend,
        placed_at=now,
        started_at=now,
        finished_at=now,
        error_class="unreachable",
        error="nobody answers",
    )


TestScheduler = SchedulerStateMachine.TestCase
TestScheduler.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
