"""The scheduler core: handles events and returns their effects. `scheduler.broker` feeds it."""

from collections.abc import Callable

from scheduler.admission.delivery_dedup import DeliveryDeduplicator
from scheduler.admission.idempotency import IdempotencyCache
from scheduler.dispatch.dispatcher import Dispatcher
from scheduler.effects import Effects, PendingEffects, Send
from scheduler.events import (
    ConnectionLost,
    Drain,
    Event,
    LeadershipChanged,
    Message,
    MessageFailed,
    RegistryChanged,
    RequestCancelled,
    Signal,
    StatusDue,
    Tick,
)
from scheduler.feedback.backend_state import BackendStates
from scheduler.feedback.breakers import Breakers
from scheduler.feedback.feedback import FeedbackProcessor
from scheduler.feedback.interactive_yield import InteractiveYield
from scheduler.handlers.attempts import AttemptHandler
from scheduler.handlers.cancellations import CancellationHandler
from scheduler.handlers.failures import FailureHandler
from scheduler.handlers.repeats import RepeatHandler
from scheduler.handlers.requests import RequestHandler
from scheduler.handlers.resolution import ModelResolver
from scheduler.handlers.returns import ReturnHandler
from scheduler.handlers.shared import Shared
from scheduler.handlers.signals import SignalHandler
from scheduler.handlers.status_resolver import StatusResolver
from scheduler.lifecycle import Lifecycle
from scheduler.output.outcome_emitter import OutcomeEmitter
from scheduler.output.status_feed import StatusFeed
from scheduler.settings import Settings
from straightline import names
from straightline.messages.signals import status_events_message
from straightline.models.catalogue import Catalogue
from straightline.support.bounded_set import BoundedSet


class SchedulerCore:
    """Every decision of the scheduler, without its sockets and its clock.

    Args:
        settings: thresholds and bounds.
        catalogue: the models of the directory.
        origin: name of this scheduler in the task messages.
        registry_synced: whether all deployments are known here. Until then no request is rejected for its
            model or its tensors: it waits.
    """

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        *,
        origin: str,
        registry_synced: Callable[[], bool] = lambda: True,
    ) -> None:
        effects, lifecycle = PendingEffects(), Lifecycle()
        self._effects = effects
        self._backends = BackendStates(settings.backfill, InteractiveYield(settings.backfill_rest))
        self._breakers = Breakers(settings.breaker)
        idempotency = IdempotencyCache(settings.remembered)
        emitter = OutcomeEmitter(effects, idempotency, lifecycle)
        self._dispatcher = Dispatcher(
            settings=settings,
            backends=self._backends,
            breakers=self._breakers,
            effects=effects,
            emitter=emitter,
            lifecycle=lifecycle,
            origin=origin,
        )
        self._shared = Shared(
            effects=effects,
            lifecycle=lifecycle,
            dispatcher=self._dispatcher,
            emitter=emitter,
            feedback=FeedbackProcessor(self._backends, self._breakers, effects),
            idempotency=idempotency,
            deduplicator=DeliveryDeduplicator(settings.remembered),
            cancelled=BoundedSet(),
        )
        self._resolver = ModelResolver(self._shared, catalogue, registry_synced, window_s=settings.window)
        repeats = RepeatHandler(self._shared)
        status = StatusResolver(self._dispatcher, self._backends, idempotency)
        self._status = StatusFeed(lambda now: status.snapshot(self._resolver.known, now), status.held)
        lifecycle.on_transition = self._status.on_transition
        self._signals = SignalHandler(self._shared, self._backends, self._breakers)
        self._failures = FailureHandler(self._shared)
        requests = RequestHandler(self._shared, self._resolver, repeats)
        attempts = AttemptHandler(self._shared, self._resolver, max_attempts=settings.max_attempts)
        self._by_queue = {
            names.INTERACTIVE_QUEUE: requests.handle,
            names.BATCH_QUEUE: requests.handle,
            names.RETURNS_QUEUE: ReturnHandler(self._shared, self._resolver, repeats).handle,
            names.ATTEMPTS_QUEUE: attempts.handle,
            names.CANCELS_QUEUE: CancellationHandler(self._shared).handle,
        }

    def handle(self, event: Event, now: float) -> Effects:
        """Handle an event and return its effects; placements follow with the next `flush`.

        Args:
            event: what happened.
            now: seconds since the epoch.
        """
        if isinstance(event, Message):
            with self._effects.owning(event.delivery):
                self._by_queue[event.delivery.queue](event, now)
        elif isinstance(event, Signal):
            self._signals.handle(event, now)
        else:
            self._handle_rare(event, now)
        return self._effects.take()

    def flush(self, now: float, *, final: bool = False) -> Effects:
        """Send the placements since the last flush, joined; `final` also sends leases that are not due."""
        self._dispatcher.flush(now, final=final)
        return self._effects.take()

    def confirmed(self, send: Send) -> Effects:
        """Take the broker's confirm of a message; its causes may now be acknowledged."""
        send.owned.release()
        return self._effects.take()

    def next_wakeup(self, now: float) -> float | None:
        """Return seconds until a `Wakeup` and a `flush` are due; None where nothing waits for a time."""
        return self._dispatcher.next_wakeup(now)

    def _handle_rare(self, event: Event, now: float) -> None:
        if isinstance(event, MessageFailed):
            self._failures.handle_internal_error(event, now)
        elif isinstance(event, RequestCancelled):
            self._shared.cancelled.add(event.request_id)
        elif isinstance(event, RegistryChanged):
            self._resolver.update(event.deployed)
        elif isinstance(event, LeadershipChanged):
            self._set_leader(leading=event.leading)
        elif isinstance(event, ConnectionLost):
            self._forget_connection()
        elif isinstance(event, Drain):
            self._dispatcher.holds.abandon()
        elif isinstance(event, StatusDue):
            self._report_status(now)
        else:
            self._pass_time(event, now)

    def _pass_time(self, event: Event, now: float) -> None:
        if isinstance(event, Tick):
            self._signals.tick(now)
            self._dispatcher.tick(now)
        if isinstance(event, Tick) or self._dispatcher.batch_may_begin(now):
            self._dispatcher.release(now)

    def _report_status(self, now: float) -> None:
        if self._shared.feedback.is_leader:
            for events in self._status.tick(now):
                self._effects.send(status_events_message(events))

    def _set_leader(self, *, leading: bool) -> None:
        self._shared.feedback.is_leader = leading
        if not leading:
            self._status.clear()

    def _forget_connection(self) -> None:
        for pending in self._dispatcher.holds.abandon():
            self._shared.deduplicator.forget(pending.delivery, pending.request.id)
            if pending.delivery.queue != names.RETURNS_QUEUE:
                self._shared.idempotency.forget(pending.request.id)
        self._backends.reset_in_flight()
