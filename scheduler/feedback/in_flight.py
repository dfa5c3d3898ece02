"""Requests in flight: placed on a backend and not yet back."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from straightline.contracts import Attempt, Reason


class PlacementContext(NamedTuple):
    """Details of a placement for status queries: version, reason, and the attempts that failed before."""

    version: str | None = None
    reason: Reason | None = None
    failed: Sequence[Attempt] = ()


NO_CONTEXT: Final = PlacementContext()


class InFlight(NamedTuple):
    """A request in flight: its model, when it was placed and expires (seconds since the epoch)."""

    model: str
    placed_at: float
    deadline: float
    interactive: bool
    context: PlacementContext
