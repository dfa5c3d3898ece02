"""Harness for tests of the scheduler core: a core with one model, and messages to feed it."""

import itertools
import json
from typing import Any

import msgspec

from scheduler.broker.effect_runner import write
from scheduler.core import SchedulerCore
from scheduler.effects import Delivery, Effects, Send
from scheduler.events import ConnectionLost, Envelope, Event, Message, Signal, StatusDue, Tick
from scheduler.settings import Settings
from straightline import names
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts import (
    Attempt,
    FailedAttempt,
    FailedAttempts,
    Feedback,
    Lease,
    LeaseBatch,
    ModelSpec,
    Outcome,
    OutcomeBatch,
    StatusEvents,
    TensorSpec,
    Ticket,
)
from straightline.contracts.signals import Completion
from straightline.ids import new_id
from straightline.models.catalogue import Catalogue

NOW = 1_800_000_000.0
DIGITS = ModelSpec(
    name="digits",
    version="1",
    inputs=(TensorSpec(name="images", datatype="FP32", shape=(-1, 64)),),
    outputs=(TensorSpec(name="label", datatype="INT64", shape=(-1,)),),
)


class SchedulerHarness:
    """A core, a clock, and a broker that only records."""

    def __init__(self, **changes: Any) -> None:
        settings = Settings(broker_url="", models_dir=".", **{"d": 2_000, **changes})  # type: ignore[arg-type]
        self.core = SchedulerCore(
            settings,
            Catalogue({"digits": {"1": DIGITS}}),
            origin="test",
            registry_synced=lambda: self.registry_synced,
        )
        self.registry_synced = True
        self.now = NOW
        self.acked: list[Delivery] = []
        self.published: list[Outgoing] = []
        self.status: list[StatusEvents] = []
        self._sends: list[Send] = []  # until the next turn
        self._unconfirmed: list[Send] = []
        self.failed = b""
        self._tags = itertools.count(1)
        self._epoch = 1

    def beat(self, backend: names.Backend, slots: int, **changes: Any) -> None:
        beat = {
            "backend": backend,
            "worker": f"{backend}@test",
            "sent_at": self.now,
            "interval": 1.0,
            "slots": slots,
            "active": 0,
            "healthy": True,
            **changes,
        }
        self.signal(names.HEARTBEAT_KEY, msgspec.json.encode(beat))

    def beat_all(self, local: int = 4, container: int = 2, serverless: int = 8) -> None:
        self.beat("local", local)
        self.beat("gpu-container", container)
        self.beat("serverless", serverless)

    def deliver(
        self,
        body: bytes,
        queue: str = names.INTERACTIVE_QUEUE,
        *,
        message_id: str | None = None,
        redelivered: bool = False,
    ) -> Delivery:
        if redelivered:  # which happens on another connection only
            self._epoch += 1
        return Delivery(queue, self._epoch, next(self._tags), message_id, redelivered)

    def request(
        self, body: bytes | None = None, *, redelivered: bool = False, reply: bool = True, **changes: Any
    ) -> Delivery:
        """Feed a request; `changes` are its members."""
        body = request_body(self.now, **changes) if body is None else body
        try:
            message_id = json.loads(body)["id"]
        except (ValueError, KeyError, TypeError, RecursionError):
            message_id = None
        delivery = self.deliver(body, message_id=message_id, redelivered=redelivered)
        envelope = Envelope("straightline.reply.test", None) if reply else Envelope()
        self.message(delivery, body, envelope)
        return delivery

    def fail(self, *failed: Ticket, error_class: str = "unreachable") -> Delivery:
        """Report the attempts of one task as failed."""
        body = msgspec.json.encode(
            FailedAttempts(
                failed=[
                    FailedAttempt(ticket=ticket, attempt=self._attempt(ticket, error_class))
                    for ticket in failed
                ]
            )
        )
        self.failed = body
        delivery = self.deliver(body, names.ATTEMPTS_QUEUE)  # workers name no message id
        self.message(delivery, body)
        return delivery

    def _attempt(self, ticket: Ticket, error_class: str) -> Attempt:
        assert ticket.backend is not None
        return Attempt(
            number=len(ticket.attempts) + 1,
            backend=ticket.backend,
            succeeded=False,
            reason=ticket.reason,
            placed_at=self.now,
            started_at=self.now,
            finished_at=self.now,
            error_class=error_class,
            error="nobody answers",
        )

    def done(
        self,
        ticket: Ticket,
        *,
        state: names.State = "succeeded",
        fault: str | None = None,
        service: float = 0.02,
    ) -> None:
        """Report the ticket's request as ended."""
        assert ticket.backend is not None
        request_id = json.loads(bytes(ticket.request))["id"]
        feedback = Feedback(
            backend=ticket.backend,
            worker=f"{ticket.backend}@test",
            done=[Completion(id=request_id, state=state, fault=fault, service=service)],
        )
        self.signal(names.FEEDBACK_KEY, msgspec.json.encode(feedback))

    def cancel(
        self,
        request_id: str,
        *,
        reply: bool = True,
        message_id: str | None = None,
        redelivered: bool = False,
    ) -> Delivery:
        """Feed a cancellation; not every producer gives it a message id."""
        body = json.dumps({"id": request_id}).encode()
        delivery = self.deliver(body, names.CANCELS_QUEUE, message_id=message_id, redelivered=redelivered)
        envelope = Envelope("straightline.reply.test", "answer") if reply else Envelope()
        self.message(delivery, body, envelope)
        return delivery

    def come_back(self, delayed: Outgoing, *, after: float) -> Delivery:
        """Let a delay pass and return the delayed message."""
        self.now += after
        delivery = self.deliver(delayed.body, names.RETURNS_QUEUE, message_id=delayed.message_id)
        self.message(delivery, delayed.body, kind=delayed.type)
        return delivery

    def feed(self, event: Event) -> Effects:
        """Feed an event and collect its effects."""
        return self.collect(self.core.handle(event, self.now))

    def message(
        self, delivery: Delivery, body: bytes, envelope: Envelope | None = None, kind: str | None = None
    ) -> None:
        """Feed a message of the delivery's queue."""
        self.feed(Message(delivery, body, kind, envelope or Envelope()))

    def signal(self, key: str, body: bytes) -> Effects:
        """Feed a transient message."""
        return self.feed(Signal(key, body))

    def tick(self) -> None:
        """Let the core look at the clock."""
        self.feed(Tick())
        self.feed(StatusDue())

    def lose_connection(self) -> None:
        """Lose the consuming connection."""
        self.feed(ConnectionLost())

    def collect(self, effects: Effects) -> Effects:
        self._sends += effects.send
        self.acked.extend(effects.ack)
        write(effects)
        return effects

    def confirm(self, *published: Outgoing) -> None:
        """Confirm messages of earlier turns: these, or all without arguments."""
        for send in list(self._unconfirmed):
            if not published or send.outgoing in published:
                self._unconfirmed.remove(send)
                self.collect(self.core.confirmed(send))

    def turn(self, *, confirm: bool = True, final: bool = True) -> list[Outgoing]:
        """Flush, as the service does; returns the messages published in this turn."""
        self.collect(self.core.flush(self.now, final=final))
        sends, self._sends = self._sends, []
        self._unconfirmed += sends
        published = []
        for outgoing in (send.outgoing for send in sends):
            if outgoing.exchange == names.STATUS:
                self.status.append(msgspec.json.decode(outgoing.body, type=StatusEvents))
            else:
                published.append(outgoing)
        self.published.extend(published)
        if confirm and sends:
            self.confirm(*(send.outgoing for send in sends))
        return published


def request_body(now: float, **changes: Any) -> bytes:
    members = {
        "id": new_id(),
        "model": "digits",
        "submitted_at": now,
        "data": infer(1),
        **changes,
    }
    return json.dumps({name: value for name, value in members.items() if value is not None}).encode()


def infer(images: int, **changes: Any) -> dict[str, Any]:
    tensor = {"name": "images", "shape": [images, 64], "datatype": "FP32", "data": [0] * 64 * images}
    return {"inputs": [tensor | changes]}


def tickets(publish: Outgoing) -> list[Ticket]:
    """Read a placement as a Celery worker does."""
    (argument,), kwargs, embed = json.loads(publish.body)
    assert kwargs == {}
    assert set(embed) == {"callbacks", "errbacks", "chain", "chord"}
    return [msgspec.json.decode(msgspec.json.encode(item), type=Ticket) for item in argument]


def outcomes(published: list[Outgoing]) -> list[Outcome]:
    return [
        outcome
        for publish in published
        if publish.type == names.TYPE_OUTCOMES
        for outcome in msgspec.json.decode(publish.body, type=OutcomeBatch).outcomes
    ]


def leases(published: list[Outgoing]) -> list[Lease]:
    return [
        lease
        for publish in published
        if publish.type == names.TYPE_LEASES
        for lease in msgspec.json.decode(publish.body, type=LeaseBatch).leases
    ]


def placements(published: list[Outgoing]) -> list[Outgoing]:
    return [publish for publish in published if publish.exchange == names.PLACEMENTS]
