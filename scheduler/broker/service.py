"""The scheduler as it runs: the core, fed from RabbitMQ and the clock."""

import logging
import threading
import time
from functools import partial
from math import inf
from typing import Any, Final

from scheduler.broker.leader_consumer import Handlers, LeaderConsumer
from scheduler.core import Envelope, SchedulerCore
from scheduler.effects import Delivery, Publish
from scheduler.settings import Settings
from straightline import names
from straightline.amqp import Outgoing, Publisher
from straightline.amqp.connection.loop_thread import AMQPThread
from straightline.amqp.consuming.cancellations import CancellationStream
from straightline.amqp.consuming.deployments import DeploymentStream
from straightline.contracts.request import MAX_BODY_BYTES
from straightline.errors import Rejected, StraightLineError
from straightline.support import failpoints
from straightline.tracing import received

log = logging.getLogger(__name__)

TICK_INTERVAL_S: Final = 0.25
"""Seconds between looks at the clock."""
PUBLISH_RETRY_INTERVAL_S: Final = 1.0
"""Seconds until a message that the broker would not take is tried again."""
LEASE_FLUSH_DELAY_S: Final = 0.01
"""Seconds that the ledger may hear of a placement later than its pool: the broker need not write both at once
while a producer waits, and one message tells of more. Until it is told, the inputs stay unacknowledged."""
RETURNS_PREFETCH: Final = 512
ATTEMPTS_PREFETCH: Final = 64
CANCELS_PREFETCH: Final = 64
CONFIRM_TIMEOUT_S: Final = 86_400.0
"""Seconds. A broker that blocks its publishers has what was written: publishing it again would double it.
What a lost connection took is published again without this."""
UNBOUNDED: Final = 1 << 30
"""Publishing must never block the thread that reads; what may be on its way is bounded by the prefetch."""


class Service:
    """Runs a core between an inlet and a publisher, all of it on the one thread of their connections."""

    def __init__(self, settings: Settings, core: SchedulerCore) -> None:
        self._core = core
        self._epoch = 0
        self._turn_due = False
        self._ledger_due = False
        self._rest_until = inf
        self._stopping = False
        self._stopped = threading.Event()
        self._unsent = 0  # publishes that the broker has not confirmed
        thread = AMQPThread("straightline-scheduler")
        self._publisher = Publisher(
            settings.broker_url,
            name="straightline-scheduler-out",
            confirm_timeout=CONFIRM_TIMEOUT_S,
            window=UNBOUNDED,
            window_bytes=UNBOUNDED,
            max_body=2 * MAX_BODY_BYTES,  # a placement is its requests and their reasons
            thread=thread,
        )
        prefetch = {
            names.CANCELS_QUEUE: CANCELS_PREFETCH,
            names.ATTEMPTS_QUEUE: ATTEMPTS_PREFETCH,
            names.RETURNS_QUEUE: RETURNS_PREFETCH,
            names.INTERACTIVE_QUEUE: settings.prefetch,
            names.BATCH_QUEUE: settings.batch_prefetch,
        }
        self._cancellations = CancellationStream(
            settings.broker_url,
            name="straightline-scheduler-cancelled",
            on_id=lambda request_id: self._consumer.link.call(partial(self._core.cancelled, request_id)),
        )
        self._deployments = DeploymentStream(
            settings.broker_url,
            name="straightline-scheduler-deployed",
            on_change=lambda deployed: self._consumer.link.call(partial(self._core.deployed, deployed)),
        )
        core.registry_synced = self._deployments.synced
        core.set_leader(leading=False)
        self._consumer = LeaderConsumer(
            settings.broker_url,
            prefetch,
            Handlers(
                signal=self._signal,
                message=self._message,
                leading=self._leading,
                lost=self._lost,
                ready=self._ready,
            ),
            thread,
        )

    def start(self) -> None:
        """Connect, and work as soon as the lead is free."""
        self._cancellations.start()
        self._deployments.start()
        self._consumer.link.start()
        self._consumer.link.call(self._tick)

    def stop(self, timeout: float = 10.0) -> None:
        """Take no more, let the broker confirm what is on its way, and disconnect."""
        self._consumer.link.call(self._drain)
        self._stopped.wait(timeout)
        self._publisher.close(timeout)
        self._cancellations.close(timeout)
        self._deployments.close(timeout)
        self._consumer.link.stop(timeout)

    # --- from the broker -----------------------------------------------------------------------------------

    def _leading(self) -> None:
        self._epoch += 1
        self._core.set_leader(leading=True)
        log.info("this scheduler leads and places requests")

    def _ready(self) -> bool:
        """Whether both streams are read; each is asked, so that the patience with both runs at once."""
        ready = [self._cancellations.ready(), self._deployments.ready()]
        return all(ready)

    def _lost(self) -> None:
        self._epoch += 1
        self._core.set_leader(leading=False)
        self._core.on_connection_lost()

    def _signal(self, key: str, body: bytes) -> None:
        if key == names.HEARTBEAT_KEY:
            self._core.heartbeat(body, time.time())
        elif key == names.BREAKER_KEY:
            self._core.breaker(body, time.time())
        else:
            self._core.feedback(body, time.time())
        self._turn_soon()

    def _message(self, queue: str, method: Any, properties: Any, body: bytes) -> None:
        if self._stopping:
            return  # the broker gives it to the next scheduler
        delivery = Delivery(
            queue, self._epoch, method.delivery_tag, _text(properties.message_id), bool(method.redelivered)
        )
        now = time.time()
        failpoints.hit(failpoints.Step.SCHEDULER_BEFORE_DECODE)
        try:
            self._work(delivery, properties, body, now)
        except Exception as error:
            log.exception("a message of %s met an unexpected fault and is put aside", queue)
            self._core.handle_internal_error(delivery, body, error, now, _envelope(properties))
        self._turn_soon()

    def _work(self, delivery: Delivery, properties: Any, body: bytes, now: float) -> None:
        if delivery.queue == names.ATTEMPTS_QUEUE:
            self._core.attempts(delivery, body, now)
        elif delivery.queue == names.RETURNS_QUEUE:
            self._core.returned(delivery, body, properties.type, now)
        else:
            take = self._core.cancel if delivery.queue == names.CANCELS_QUEUE else self._core.request
            take(delivery, body, _envelope(properties), now)

    def _tick(self) -> None:
        self._consumer.link.call_later(TICK_INTERVAL_S, self._tick)  # first, so that a fault stops no clock
        self._core.tick(time.time())
        self._turn_soon()

    # --- to the broker -------------------------------------------------------------------------------------

    def _turn_soon(self) -> None:
        """Flush when what has arrived is read: a timer of zero runs after the frames at hand."""
        if not self._turn_due:
            self._turn_due = True
            self._consumer.link.call_later(0, self._turn)

    def _turn(self) -> None:
        self._turn_due = False
        self._core.dispatcher.flush()
        if self._core.dispatcher.has_unsent_leases:
            self._flush_leases_soon()
        for publish in self._core.effects.take_publishes():
            self._unsent += 1
            self._send(publish)
            failpoints.hit(failpoints.Step.SCHEDULER_AFTER_PUBLISH)
        tags = [delivery.tag for delivery in self._core.effects.take_acks() if delivery.epoch == self._epoch]
        if tags:
            failpoints.hit(failpoints.Step.SCHEDULER_AFTER_CONFIRM)
        self._consumer.acknowledge(tags)
        self._rest()
        if self._stopping and self._unsent == 0:
            self._stopped.set()

    def _flush_leases_soon(self) -> None:
        if self._stopping:
            self._core.dispatcher.flush_leases()
        elif not self._ledger_due:
            self._ledger_due = True
            self._consumer.link.call_later(LEASE_FLUSH_DELAY_S, self._flush_leases)

    def _flush_leases(self) -> None:
        self._ledger_due = False
        self._core.dispatcher.flush_leases()
        self._turn_soon()

    def _rest(self) -> None:
        """Wake up when batch work may go on."""
        rest = self._core.dispatcher.batch_wakeup_in(time.time())
        if rest is not None and time.monotonic() + rest < self._rest_until:
            self._rest_until = time.monotonic() + rest
            self._consumer.link.call_later(rest, self._rested)

    def _rested(self) -> None:
        self._rest_until = inf
        self._core.dispatcher.release(time.time())
        self._turn_soon()

    def _send(self, publish: Publish) -> None:
        outgoing = Outgoing(
            exchange=publish.exchange,
            routing_key=publish.key,
            body=publish.body,
            type=publish.type or None,
            message_id=publish.message_id or None,
            correlation_id=publish.correlation_id,
            headers=publish.headers or None,
            mandatory=publish.mandatory,
        )
        settled = partial(self._answered, publish)
        try:
            self._publisher.send(outgoing, settled)
        except StraightLineError as error:
            settled(error)
        except Exception as error:  # a fault of ours must lose neither this message nor those behind it
            log.exception("a message to %s could not be sent", publish.exchange)
            settled(error)

    def _answered(self, publish: Publish, error: Exception | None) -> None:
        if isinstance(error, Rejected) and not publish.mandatory:
            log.warning("a reply was not delivered: %s", error)  # its outcome stands in the ledger
            error = None
        if error is None:
            self._unsent -= 1
            self._core.effects.confirmed(publish)
            self._turn_soon()
            return
        if isinstance(error, StraightLineError):
            log.error("a message to %s was not taken: %s; trying again", publish.exchange, error)
        if not self._stopping:
            self._consumer.link.call_later(PUBLISH_RETRY_INTERVAL_S, lambda: self._send(publish))

    def _drain(self) -> None:
        self._stopping = True
        self._consumer.cancel()
        for case in self._core.dispatcher.drop_held():
            log.debug("request %s goes back to its queue", case.request.id)
        self._turn_soon()


def _envelope(properties: Any) -> Envelope:
    trace = received(properties.headers or {})
    return Envelope(_text(properties.reply_to), _text(properties.correlation_id), *trace)


def _text(value: object) -> str | None:
    """Return an AMQP property as text; pika leaves what is not UTF-8 as bytes, and it is of no use to us."""
    return value if isinstance(value, str) else None
