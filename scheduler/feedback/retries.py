"""The one retry owner: whether a failed request is placed again, where not, and after how long. Pure."""

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
"""Milliseconds after the first failure, the second, and each later one; which of a rung is up to chance."""
LONG_BACKOFF_FAILURES: Final = 2
"""Failures from which on a request that is left no other backend waits on the last rung."""
MAX_EXCUSED_ATTEMPTS: Final = 8
"""Attempts that do not count: those that a pool gave back unasked, since the breaker had opened meanwhile
or it had not read yet what is deployed, and those as a breaker's probe that never came to the model. So many
at most, or a request that only a dead backend may take would have a history without end."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Place it again after `delay` milliseconds, without the `excluded`; `at_once` where that can be."""

    delay: int
    excluded: list[Backend]
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It has failed for good."""

    error_class: ErrorClass
    error: str


@dataclass(frozen=True, slots=True)
class DeadlineExceeded:
    """Its deadline would pass before it could be tried again."""


def decide(
    ticket: Ticket, request: Request, spec: ModelSpec, *, max_attempts: int, now: float
) -> Retry | GiveUp | DeadlineExceeded:
    """Decide on a ticket whose last attempt has failed.

    The backend that failed is excluded. When that leaves none where the request may run, the exclusions are
    lifted: what failed may have recovered while the request waited. (Where all others are down, placing
    passes over them.) Then the second failure and those after it wait on the last rung: else all attempts
    would be spent within two seconds, on a backend that is away for three; so does what the pool could not
    know. Who was a probe, or was given back, goes elsewhere at once.
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
    patience = len(BACKOFF_STEPS_MS) if long and not excluded else failures
    delay = fit_delay(
        backoff(patience, stable_jitter(f"{request.id} {len(ticket.attempts)}")),
        seconds=ticket.deadline - now,
    )
    if delay is None:
        return DeadlineExceeded()
    return Retry(delay, excluded, at_once=bool(excluded) and (_probe(last) or _excused(last)))


def counted(attempts: list[Attempt]) -> int:
    """Return how many of the attempts count against the most there may be."""
    return len(attempts) - min(MAX_EXCUSED_ATTEMPTS, sum(map(_excused, attempts)))


def suspect(attempts: list[Attempt]) -> bool:
    """Whether one of the attempts failed in a way that the request itself may have caused."""
    return any(attempt.error_class in REQUEST_SUSPECT for attempt in attempts)


def backoff(failures: int, lot: float) -> int:
    """Return the milliseconds to wait; `lot` of [0, 1) spreads those that failed together."""
    choices = BACKOFF_STEPS_MS[max(0, min(failures, len(BACKOFF_STEPS_MS)) - 1)]
    return choices[int(lot * len(choices))]


def fit_delay(milliseconds: int, *, seconds: float) -> int | None:
    """Return that delay, or the longest that ends within `seconds`; None where there is none."""
    if milliseconds < seconds * 1_000:
        return milliseconds
    return max((delay for delay in DELAYS_MS if delay < seconds * 1_000), default=None)


def stable_jitter(text: str) -> float:
    """Draw a lot of [0, 1) that is always the same for the same text."""
    return crc32(text.encode()) / 2**32


def summarize_attempts(attempts: list[Attempt]) -> str:
    """Tell in one sentence what was tried, and what came of it several times once."""
    counts = Counter(f"{attempt.backend}: {attempt.error}" for attempt in attempts)
    tries = "; ".join(each if times == 1 else f"{each} ({times} times)" for each, times in counts.items())
    return f"{len(attempts)} attempt{'s' if len(attempts) != 1 else ''} failed: {tries}"


def _excused(attempt: Attempt) -> bool:
    return attempt.error_class in GIVEN_BACK or (_probe(attempt) and attempt.error_class in PRE_EXECUTION)


def _probe(attempt: Attempt) -> bool:
    return attempt.reason is not None and attempt.reason.probe
