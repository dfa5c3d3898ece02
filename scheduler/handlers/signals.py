"""Handles transient messages of the pools and the leader."""

from scheduler.events import Signal
from scheduler.feedback.backend_state import BackendStates
from scheduler.feedback.breakers import Breakers
from scheduler.feedback.membership_log import log_membership
from scheduler.handlers.shared import Shared
from straightline import names
from straightline.contracts import BreakerState, Feedback, Heartbeat
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError


class SignalHandler:
    """Updates the state of backends and breakers. An unreadable signal is logged and dropped."""

    def __init__(self, shared: Shared, backends: BackendStates, breakers: Breakers) -> None:
        self._shared = shared
        self._backends = backends
        self._breakers = breakers

    def handle(self, signal: Signal, now: float) -> None:
        """Handle a signal by its routing key."""
        if signal.key == names.HEARTBEAT_KEY:
            self._heartbeat(signal.body, now)
        elif signal.key == names.BREAKER_KEY:
            self._breaker(signal.body, now)
        else:
            self._feedback(signal.body, now)

    def tick(self, now: float) -> None:
        """Note workers that fell silent, and announce open breakers again."""
        self._backends.tick(now)
        self._log_membership_changes()
        self._shared.feedback.tick(now)

    def _heartbeat(self, body: bytes, now: float) -> None:
        """Take a worker's state. A healthier backend may take held requests."""
        try:
            self._backends.heartbeat(decode(body, Heartbeat), now)
        except ContractError as error:
            self._shared.effects.log("warning", "heartbeat_unreadable", error=error)
            return
        self._log_membership_changes()
        self._shared.dispatcher.release(now)

    def _feedback(self, body: bytes, now: float) -> None:
        """Take the results of a task. Free slots may take held requests."""
        try:
            feedback = decode(body, Feedback)
        except ContractError as error:
            self._shared.effects.log("warning", "feedback_unreadable", error=error)
            return
        self._shared.feedback.ended(feedback, now)
        for done in feedback.done:
            if done.state is not None:
                self._shared.idempotency.end(done.id)
        self._shared.dispatcher.release(now)

    def _breaker(self, body: bytes, now: float) -> None:
        """Copy a breaker of the leader while this scheduler is a standby."""
        if self._shared.feedback.is_leader:
            return  # this scheduler sent it
        try:
            state = decode(body, BreakerState)
        except ContractError as error:
            self._shared.effects.log("warning", "breaker_state_unreadable", error=error)
            return
        why = (state.why or "it keeps failing") if state.open else ""
        self._breakers.sync(state.backend, state.model, why, now)

    def _log_membership_changes(self) -> None:
        for change in self._backends.membership_changes():
            log_membership(self._shared.effects, change)
