"""Retry decisions: whether a failed request is placed again, where not, and after which delay."""

from collections import Counter
from dataclasses import dataclass
from typing import Final
from zlib import crc32

from straightline.contracts import Attempt, ModelSpec, Request, Ticket
from straightline.contracts.faults import (
    GIVEN_BACK,
    PRE_EXECUTION,
    REQUEST_SUSPECT,
    ErrorClass,
    error_class_of,
)
from straightline.names import DELAYS_MS, Backend

BACKOFF_STEPS_MS: Final = ((250, 350, 500), (1_000, 1_400, 2_000), (5_000, 7_000, 10_000))
"""Delays after the first failure, the second, and each later one; jitter chooses within a step."""
LONG_BACKOFF_FAILURES: Final = 2
"""Failures from which on a request without another backend waits for the last step."""
MAX_EXCUSED_ATTEMPTS: Final = 8
"""Bound on attempts that do not count: a pool returned the request without calling its backend (the breaker
had opened, or the registry was not read yet), or the request was a probe and never reached the model. Without
a bound a request that only a dead backend may take would collect attempts forever."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Place the request again after `delay` milliseconds, not on `excluded`; `at_once` if a slot is free."""

    delay: int
    excluded: list[Backend]
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The request has failed."""

    error_class: ErrorClass
    error: str


@dataclass(frozen=True, slots=True)
class DeadlineExceeded:
    """The deadline would pass before the next attempt."""


def decide(
    ticket: Ticket, request: Request, spec: ModelSpec, *, max_attempts: int, now: float
) -> Retry | GiveUp | DeadlineExceeded:
    """Decide on a ticket whose last attempt has failed.

    The failed backend is excluded. If that leaves no backend, the exclusions are lifted, since a backend may
    recover while the request waits. (If all others are down, the dispatcher lifts them.) The second and later
    failures then wait for the last step: otherwise all attempts would be spent within two seconds, on a
    backend that is down for three. So does a request whose pool had not read the registry. A probe, or a
    request that was returned without a call, is placed elsewhere at once.
    """
    last = ticket.attempts[-1]
    failures = counted(ticket.attempts)
    if failures >= max_attempts:
        return GiveUp(error_class_of(last.error_class), summarize_attempts(ticket.attempts))
    excluded: list[Backend] = [*ticket.excluded]
    if last.backend not in excluded:
        excluded.append(last.backend)
    possible = set(spec.backends) & set(request.allow or spec.backends)
    if possible <= set(excluded):
        excluded = []
    long = failures >= LONG_BACKOFF_FAILURES or last.error_class == "not_informed"
    step = len(BACKOFF_STEPS_MS) if long and not excluded else failures
    delay = fit_delay(
        backoff(step, stable_jitter(f"{request.id} {len(ticket.attempts)}")),
        seconds=ticket.deadline - now,
    )
    if delay is None:
        return DeadlineExceeded()
    return Retry(delay, excluded, at_once=bool(excluded) and (_probe(last) or _excused(last)))


def counted(attempts: list[Attempt]) -> int:
    """Return how many of the attempts count against the maximum."""
    return len(attempts) - min(MAX_EXCUSED_ATTEMPTS, sum(map(_excused, attempts)))


def suspect(attempts: list[Attempt]) -> bool:
    """Whether one of the attempts failed in a way that the request itself may have caused."""
    return any(attempt.error_class in REQUEST_SUSPECT for attempt in attempts)


def backoff(failures: int, jitter: float) -> int:
    """Return the delay in milliseconds; `jitter` in [0, 1) spreads requests that failed together."""
    choices = BACKOFF_STEPS_MS[max(0, min(failures, len(BACKOFF_STEPS_MS)) - 1)]
    return choices[int(jitter * len(choices))]


def fit_delay(milliseconds: int, *, seconds: float) -> int | None:
    """Return the delay, or the longest one that ends within `seconds`; None where there is none."""
    if milliseconds < seconds * 1_000:
        return milliseconds
    return max((delay for delay in DELAYS_MS if delay < seconds * 1_000), default=None)


def stable_jitter(text: str) -> float:
    """Return a number in [0, 1) that depends on the text alone."""
    return crc32(text.encode()) / 2**32


def summarize_attempts(attempts: list[Attempt]) -> str:
    """Summarize the attempts in one sentence; equal ones are counted."""
    counts = Counter(f"{attempt.backend}: {attempt.error}" for attempt in attempts)
    tries = "; ".join(each if times == 1 else f"{each} ({times} times)" for each, times in counts.items())
    return f"{len(attempts)} attempt{'s' if len(attempts) != 1 else ''} failed: {tries}"


def _excused(attempt: Attempt) -> bool:
    return attempt.error_class in GIVEN_BACK or (_probe(attempt) and attempt.error_class in PRE_EXECUTION)


def _probe(attempt: Attempt) -> bool:
    return attempt.reason is not None and attempt.reason.probe
