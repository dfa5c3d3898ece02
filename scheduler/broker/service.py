"""The running scheduler: the core, fed from RabbitMQ and the clock, on one thread."""

import threading
import time
from functools import partial
from math import inf
from typing import Any, Final

from scheduler.broker.effect_runner import EffectRunner
from scheduler.broker.leader_consumer import Handlers, LeaderConsumer
from scheduler.core import SchedulerCore
from scheduler.effects import Delivery
from scheduler.events import (
    ConnectionLost,
    Drain,
    Envelope,
    Event,
    LeadershipChanged,
    Message,
    MessageFailed,
    RegistryChanged,
    RequestCancelled,
    Signal,
    StatusDue,
    Tick,
    Wakeup,
)
from scheduler.settings import Settings
from straightline import names
from straightline.amqp import Publisher
from straightline.amqp.connection.loop_thread import AMQPThread
from straightline.amqp.consuming.cancellations import CancellationStream
from straightline.amqp.consuming.deployments import DeploymentStream
from straightline.contracts.request import MAX_BODY_BYTES
from straightline.models.catalogue import Catalogue
from straightline.support import failpoints
from straightline.support.event_log import EventLogger
from straightline.tracing import received

log = EventLogger(__name__)

TICK_INTERVAL_S: Final = 0.25
RETURNS_PREFETCH: Final = 512
ATTEMPTS_PREFETCH: Final = 64
CANCELS_PREFETCH: Final = 64
CONFIRM_TIMEOUT_S: Final = 86_400.0
"""Seconds. A broker that blocks its publishers has the written messages: publishing them again would
duplicate them. Messages of a lost connection are published again before this."""
UNBOUNDED: Final = 1 << 30
"""Publishing must not block the thread that reads. The prefetch bounds the messages in flight."""


class Service:
    """Runs a core between a consumer and a publisher, all on the thread of their connections.

    Args:
        settings: thresholds, bounds and addresses.
        catalogue: the models of the directory.
        origin: name of this scheduler in the task messages.
    """

    def __init__(self, settings: Settings, catalogue: Catalogue, *, origin: str) -> None:
        self._epoch = 0
        self._turn_due = False
        self._wakeup_at = inf
        self._stopping = False
        self._stopped = threading.Event()
        url, thread = settings.broker_url, AMQPThread("straightline-scheduler")
        self._publisher = Publisher(
            url,
            name="straightline-scheduler-out",
            confirm_timeout=CONFIRM_TIMEOUT_S,
            window=UNBOUNDED,
            window_bytes=UNBOUNDED,
            max_body=2 * MAX_BODY_BYTES,  # a placement is its requests and their reasons
            thread=thread,
        )
        self._cancellations = CancellationStream(
            url,
            name="straightline-scheduler-cancelled",
            on_id=lambda request_id: self._handle_on_loop(RequestCancelled(request_id)),
        )
        self._deployments = DeploymentStream(
            url,
            name="straightline-scheduler-deployed",
            on_change=lambda deployed: self._handle_on_loop(RegistryChanged(deployed)),
        )
        self._core = SchedulerCore(
            settings, catalogue, origin=origin, registry_synced=self._deployments.synced
        )
        handlers = Handlers(
            signal=self._signal,
            message=self._message,
            leading=self._leading,
            lost=self._lost,
            ready=self._ready,
        )
        self._consumer = LeaderConsumer(url, _prefetch(settings), handlers, thread)
        self._runner = EffectRunner(
            self._publisher, self._core.confirmed, self._consumer.link.call_later, self._turn_soon
        )
        self._handle(LeadershipChanged(leading=False))

    def start(self) -> None:
        """Connect, and work as soon as the lead is free."""
        self._cancellations.start()
        self._deployments.start()
        self._consumer.link.start()
        self._consumer.link.call(self._tick)

    def stop(self, timeout: float = 10.0) -> None:
        """Stop consuming, wait for confirms for at most `timeout` seconds, and disconnect."""
        self._consumer.link.call(self._drain)
        self._stopped.wait(timeout)
        self._publisher.close(timeout)
        self._cancellations.close(timeout)
        self._deployments.close(timeout)
        self._consumer.link.stop(timeout)

    def _handle(self, event: Event) -> None:
        self._runner.add(self._core.handle(event, time.time()))

    def _handle_on_loop(self, event: Event) -> None:
        self._consumer.link.call(partial(self._handle, event))

    # --- from the broker -----------------------------------------------------------------------------------

    def _leading(self) -> None:
        self._epoch += 1
        self._handle(LeadershipChanged(leading=True))
        log.info("scheduler_leads")

    def _ready(self) -> bool:
        """Whether both streams are read; both are asked, so that their timeouts run at the same time."""
        ready = [self._cancellations.ready(), self._deployments.ready()]
        return all(ready)

    def _lost(self) -> None:
        self._epoch += 1
        self._handle(LeadershipChanged(leading=False))
        self._handle(ConnectionLost())

    def _signal(self, key: str, body: bytes) -> None:
        self._handle(Signal(key, body))
        self._turn_soon()

    def _message(self, queue: str, method: Any, properties: Any, body: bytes) -> None:
        if self._stopping:
            return  # the broker gives it to the next scheduler
        delivery = Delivery(
            queue, self._epoch, method.delivery_tag, _text(properties.message_id), bool(method.redelivered)
        )
        failpoints.hit(failpoints.Step.SCHEDULER_BEFORE_DECODE)
        message = Message(delivery, body, properties.type, _envelope(properties))
        try:
            self._handle(message)
        except Exception as error:
            log.exception("message_failed", queue=queue)
            self._handle(MessageFailed(message, error))
        self._turn_soon()

    def _tick(self) -> None:
        self._consumer.link.call_later(TICK_INTERVAL_S, self._tick)  # first, so that ticks survive a fault
        self._handle(Tick())
        self._report_status()
        self._turn_soon()

    def _report_status(self) -> None:
        try:
            self._handle(StatusDue())
        except Exception:  # a bug in reports must not close the connections, and so stop placements
            log.exception("status_events_not_published")

    # --- to the broker -------------------------------------------------------------------------------------

    def _turn_soon(self) -> None:
        """Flush after all read frames are handled: a timer of zero runs behind them."""
        if not self._turn_due:
            self._turn_due = True
            self._consumer.link.call_later(0, self._turn)

    def _turn(self) -> None:
        self._turn_due = False
        self._runner.add(self._core.flush(time.time(), final=self._stopping))
        self._runner.publish()
        self._consumer.acknowledge(self._runner.take_tags(self._epoch))
        self._schedule_wakeup()
        if self._stopping and self._runner.unconfirmed == 0:
            self._stopped.set()

    def _schedule_wakeup(self) -> None:
        seconds = self._core.next_wakeup(time.time())
        at = inf if seconds is None else time.monotonic() + seconds
        if seconds is not None and at < self._wakeup_at:
            self._wakeup_at = at
            self._consumer.link.call_later(seconds, partial(self._wakeup, at))

    def _wakeup(self, at: float) -> None:
        if at != self._wakeup_at:
            return  # an earlier one replaced it, and scheduled the next
        self._wakeup_at = inf
        self._handle(Wakeup())
        self._turn_soon()

    def _drain(self) -> None:
        self._stopping = True
        self._runner.stop_retrying()
        self._consumer.cancel()
        self._handle(Drain())
        self._turn_soon()


def _prefetch(settings: Settings) -> dict[str, int]:
    return {
        names.CANCELS_QUEUE: CANCELS_PREFETCH,
        names.ATTEMPTS_QUEUE: ATTEMPTS_PREFETCH,
        names.RETURNS_QUEUE: RETURNS_PREFETCH,
        names.INTERACTIVE_QUEUE: settings.prefetch,
        names.BATCH_QUEUE: settings.batch_prefetch,
    }


def _envelope(properties: Any) -> Envelope:
    trace = received(properties.headers or {})
    return Envelope(_text(properties.reply_to), _text(properties.correlation_id), *trace)


def _text(value: object) -> str | None:
    """Return an AMQP property as text; pika leaves bytes that are not UTF-8, which are of no use here."""
    return value if isinstance(value, str) else None
