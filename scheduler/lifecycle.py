"""The life of a request: its stages, the allowed transitions, and the only writer of a ticket's state."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Final, Literal

from scheduler.effects import Delivery, Ownership
from straightline.contracts import Attempt, ModelSpec, Reason, Request, Ticket
from straightline.names import Backend

Stage = Literal["accepted", "held", "placed", "retrying", "ended"]

TRANSITIONS: Final[Mapping[Stage, frozenset[Stage]]] = {
    "accepted": frozenset({"held", "placed", "ended"}),
    "held": frozenset({"held", "placed", "ended"}),
    "placed": frozenset({"held", "retrying", "ended"}),
    "retrying": frozenset({"held", "retrying", "placed", "ended"}),
    "ended": frozenset(),
}
"""Stages that may follow each stage. `retrying` follows itself when a request fails again at once."""


@dataclass(slots=True, eq=False)
class PendingRequest:
    """A request that the scheduler is placing or holding in memory.

    Attributes:
        request, ticket, spec, delivery: the request, its history, its model version, and its message.
        f_t: requests per second of its model.
        since: start of its hold in memory, seconds since the epoch.
        hold_key: FIFO key: requests with the same key are placed in order. It starts with the model's name.
        max_wait: longest wait in a backend's queue in seconds, beside the deadline.
        owned: reference to the delivery while the request is held in memory.
    """

    request: Request
    ticket: Ticket
    spec: ModelSpec
    delivery: Delivery
    f_t: float
    since: float = 0.0
    hold_key: tuple[Hashable, ...] = ()
    max_wait: float = inf
    owned: Ownership | None = None


Listener = Callable[[str, Stage, float], None]
"""Takes the id of a request, its new stage, and when, in seconds since the epoch."""


class IllegalTransition(Exception):  # noqa: N818 - named like the table that it guards
    """A request would skip or repeat a stage: a defect of the scheduler."""


def stage_of(ticket: Ticket) -> Stage:
    """Return the stage that a ticket records; a ticket never records `ended`."""
    if ticket.backend is not None:
        return "placed"
    if ticket.held_since is not None:
        return "held"
    return "retrying" if ticket.attempts else "accepted"


class Lifecycle:
    """Moves requests from stage to stage.

    Args:
        on_transition: called when a request is held, placed, retried or ended; None without a listener.
    """

    def __init__(self, on_transition: Listener | None = None) -> None:
        self.on_transition = on_transition

    def resume(self, ticket: Ticket) -> None:
        """Clear a placement from a ticket that comes back; an older scheduler may have left it there."""
        ticket.backend = ticket.reason = ticket.placed_at = None

    def choose_version(self, ticket: Ticket, version: str) -> None:
        """Set the model version of a request; it stays through holds and retries."""
        ticket.version = version

    def hold(self, request: Request, ticket: Ticket, now: float) -> None:
        """Hold a request in memory or in the broker."""
        self._check(ticket, "held")
        ticket.backend = ticket.reason = ticket.placed_at = None
        ticket.held_since = ticket.held_since or now
        self._announce(request.id, "held", now)

    def place(self, request: Request, ticket: Ticket, backend: Backend, reason: Reason, now: float) -> None:
        """Place a request on a backend."""
        self._check(ticket, "placed")
        ticket.backend, ticket.reason, ticket.placed_at = backend, reason, now
        if self.on_transition is not None:
            self.on_transition(request.id, "placed", now)

    def record_attempt(self, ticket: Ticket, attempt: Attempt) -> None:
        """Add a failed attempt to the history; the next transition decides what follows."""
        ticket.attempts.append(attempt)

    def retry(self, request: Request, ticket: Ticket, excluded: list[Backend], now: float) -> None:
        """Clear the failed placement, so that the request can be placed elsewhere."""
        self._check(ticket, "retrying")
        ticket.excluded = excluded
        ticket.backend = ticket.reason = ticket.placed_at = ticket.held_since = None
        self._announce(request.id, "retrying", now)

    def end(self, request: Request, ticket: Ticket, now: float) -> None:
        """Announce the end of a request; its outcome carries the result."""
        self._check(ticket, "ended")
        self._announce(request.id, "ended", now)

    def _check(self, ticket: Ticket, stage: Stage) -> None:
        before = stage_of(ticket)
        if stage not in TRANSITIONS[before]:
            raise IllegalTransition(f"a request cannot go from {before} to {stage}")

    def _announce(self, request_id: str, stage: Stage, now: float) -> None:
        if self.on_transition is not None:
            self.on_transition(request_id, stage, now)
