"""The one retry owner: whether a failed request is placed again, where not, and after how long. Pure."""

from dataclasses import dataclass

from straightline.contracts import Attempt, ModelSpec, Request, Ticket
from straightline.names import DELAYS_MS, Backend


@dataclass(frozen=True, slots=True)
class Again:
    """Place it again after `delay` milliseconds, without the `excluded` backends."""

    delay: int
    excluded: list[Backend]


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It has failed for good."""

    error_class: str
    error: str


def after(ticket: Ticket, request: Request, spec: ModelSpec, *, max_attempts: int) -> Again | GiveUp:
    """Decide on a ticket whose last attempt has failed.

    The backend that failed is excluded. When that leaves none where the request may run, the exclusions are
    lifted: what failed may have recovered while the request waited.
    """
    number = len(ticket.attempts)
    if number >= max_attempts:
        return GiveUp(ticket.attempts[-1].error_class or "failed", story(ticket.attempts))
    excluded: list[Backend] = [*ticket.excluded]
    if ticket.attempts[-1].backend not in excluded:
        excluded.append(ticket.attempts[-1].backend)
    possible = set(spec.backends) & set(request.allow or spec.backends)
    if possible <= set(excluded):
        excluded = []
    return Again(DELAYS_MS[min(number, len(DELAYS_MS)) - 1], excluded)


def story(attempts: list[Attempt]) -> str:
    """Tell in one sentence what was tried."""
    tries = "; ".join(f"{attempt.backend}: {attempt.error}" for attempt in attempts)
    return f"{len(attempts)} attempt{'s' if len(attempts) != 1 else ''} failed: {tries}"
