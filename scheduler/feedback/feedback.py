"""What became of the calls that pools made: slots come free, breakers open and close, and all are told."""

import logging
from collections.abc import Iterable
from typing import Final

from scheduler.effects import PendingEffects
from scheduler.feedback.backend_state import BackendStates
from scheduler.feedback.breakers import Breakers, Change
from scheduler.feedback.retries import suspect
from scheduler.output import messages
from straightline.contracts import Completion, FailedAttempt, Feedback, Request
from straightline.contracts.faults import REQUEST_SUSPECT

log = logging.getLogger(__name__)

ANSWER_STATES: Final = ("succeeded", "failed", "rejected")
"""States that a backend's answer brings; the model's own error is one, and its refusal of wrong inputs."""
MIN_TIMEOUT_EVIDENCE_S: Final = 1.0
"""Seconds; a call that a deadline cut off earlier says nothing of its backend."""
BREAKER_REPEAT_INTERVAL_S: Final = 1.0
"""Seconds after which it is said again which breakers are open."""


class FeedbackProcessor:
    """Keeps count of calls, by what the pools report. No clock: time is an argument."""

    def __init__(self, pools: BackendStates, breakers: Breakers, effects: PendingEffects) -> None:
        self._backends = pools
        self._breakers = breakers
        self._effects = effects
        self._repeated_at = 0.0
        self.is_leader = True
        """Whether this scheduler says how the breakers stand: a standby takes the leader's word."""

    def failed(self, attempts: Iterable[tuple[FailedAttempt, Request]], now: float) -> None:
        """Take the failed attempts of one task: those of one kind are one call.

        Who fails in such a way once more, and travels alone since the first time, is to blame rather than one
        backend after the other; what became of a probe is told its breaker all the same.
        """
        calls: dict[tuple[str, str, str], list[str]] = {}
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
        """Take what one task brought: that of one model is one call."""
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
        """Say again which breakers are open, for those who came late or missed it."""
        if self.is_leader and not 0 <= now - self._repeated_at < BREAKER_REPEAT_INTERVAL_S:
            self._repeated_at = now
            for (backend, model), breaker in self._breakers.open().items():
                self._effects.send(messages.breaker(Change(backend, model, breaker.why), now))

    def _publish_changes(self, now: float) -> None:
        """Tell operators and pools which breakers have opened or closed."""
        changes = self._breakers.changes()
        for change in changes if self.is_leader else ():
            what = change.backend if change.model is None else f"{change.model} on {change.backend}"
            if change.why:
                log.warning("the breaker of %s opens: %s", what, change.why)
            else:
                log.warning("the breaker of %s closes", what)
            self._effects.send(messages.breaker(change, now))


def _answered(done: Completion) -> bool:
    """Whether a backend answered: an error of the model is an answer, a failure before it was asked none."""
    return done.state in ANSWER_STATES and (done.state == "succeeded" or done.service > 0)
