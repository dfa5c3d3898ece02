"""Results of the calls that pools made: they free slots, and open and close breakers."""

from collections.abc import Iterable
from typing import Final

from scheduler.effects import PendingEffects
from scheduler.feedback.backend_state import BackendStates
from scheduler.feedback.breakers import Breakers
from scheduler.feedback.retries import suspect
from straightline.contracts import BreakerState, Completion, FailedAttempt, Feedback, Request
from straightline.contracts.faults import REQUEST_SUSPECT
from straightline.messages.signals import breaker_message
from straightline.names import Backend

ANSWER_STATES: Final = ("succeeded", "failed", "rejected")
"""States that a backend's answer has. The model's own error and its refusal of wrong inputs are answers."""
MIN_TIMEOUT_EVIDENCE_S: Final = 1.0
"""Seconds; a call that its deadline cut off earlier is no evidence against its backend."""
BREAKER_REPEAT_INTERVAL_S: Final = 1.0
"""Seconds after which open breakers are announced again."""


class FeedbackProcessor:
    """Counts calls from the reports of the pools, and announces breakers that open or close."""

    def __init__(self, backends: BackendStates, breakers: Breakers, effects: PendingEffects) -> None:
        self._backends = backends
        self._breakers = breakers
        self._effects = effects
        self._repeated_at = 0.0
        self.is_leader = True
        """Whether this scheduler announces breakers; a standby copies those of the leader."""

    def failed(self, attempts: Iterable[tuple[FailedAttempt, Request]], now: float) -> None:
        """Take the failed attempts of one task; those of one backend, model and error class are one call.

        A request that travels alone since it may have brought down a call, and fails so again, counts against
        no breaker: it is the likely cause itself. The result of a probe always counts.
        """
        calls: dict[tuple[Backend, str, str], list[str]] = {}
        for item, request in attempts:
            attempt = item.attempt
            self._backends.left(attempt.backend, request.id, now)
            probe = attempt.reason is not None and attempt.reason.probe
            if attempt.error_class in REQUEST_SUSPECT and suspect(item.ticket.attempts) and not probe:
                continue
            key = (attempt.backend, request.model, attempt.error_class or "")
            calls.setdefault(key, []).append(request.id)
        for (backend, model, error_class), ids in calls.items():
            self._breakers.failed(backend, model, ids, error_class, now)
        self._publish_changes(now)

    def ended(self, feedback: Feedback, now: float) -> None:
        """Take the results of one task; those of one model are one call."""
        backend = feedback.backend
        calls: dict[tuple[str | None, str | None], list[str]] = {}
        for done in feedback.done:
            if _answered(done):
                fault = None
            elif done.fault is not None and (
                done.fault != "timed_out" or done.service >= MIN_TIMEOUT_EVIDENCE_S
            ):
                fault = done.fault
            else:
                continue
            calls.setdefault((self._backends.model_of(backend, done.id), fault), []).append(done.id)
        for (model, fault), ids in calls.items():
            if fault is None:
                self._breakers.answered(backend, model, ids, now)
            else:
                self._breakers.failed(backend, model, ids, fault, now)
        self._backends.feedback(feedback, now)
        self._publish_changes(now)

    def tick(self, now: float) -> None:
        """Announce open breakers again, for pools that started late or missed the change."""
        if self.is_leader and not 0 <= now - self._repeated_at < BREAKER_REPEAT_INTERVAL_S:
            self._repeated_at = now
            for (backend, model), breaker in self._breakers.open().items():
                self._announce(backend, model, breaker.why, now)

    def _publish_changes(self, now: float) -> None:
        """Announce the breakers that opened or closed."""
        changes = self._breakers.changes()
        for change in changes if self.is_leader else ():
            if change.why:
                self._effects.log(
                    "warning",
                    "breaker_opened",
                    backend=change.backend,
                    model=change.model,
                    reason=change.why,
                )
            else:
                self._effects.log("warning", "breaker_closed", backend=change.backend, model=change.model)
            self._announce(change.backend, change.model, change.why, now)

    def _announce(self, backend: Backend, model: str | None, why: str, now: float) -> None:
        state = BreakerState(backend=backend, model=model, open=bool(why), why=why or None, at=now)
        self._effects.send(breaker_message(state))


def _answered(done: Completion) -> bool:
    """Whether a backend answered; a failure before the model was called is no answer."""
    return done.state in ANSWER_STATES and (done.state == "succeeded" or done.service > 0)
