"""Changes in the workers of a backend, as lines for the log."""

from collections.abc import Iterator
from typing import NamedTuple

from straightline.names import Backend


class MembershipChange(NamedTuple):
    """Workers of a backend joined or left.

    Attributes:
        backend: the backend.
        gone: workers that stopped taking requests, each with the reason.
        come: workers that take requests from now on.
        slots: slots of each worker that takes requests now.
    """

    backend: Backend
    gone: dict[str, str]
    come: list[str]
    slots: dict[str, int]


def describe(change: MembershipChange) -> Iterator[str]:
    """Yield a line for each worker that joined or left, with the slots that the backend has left."""
    left = _left(change)
    for worker, why in change.gone.items():
        yield f"{change.backend}: {worker} takes no more requests ({why}); {left}"
    for worker in change.come:
        yield f"{change.backend}: {worker} takes requests; {left}"
    if not change.gone and not change.come:
        yield f"{change.backend}: the number of slots changed; {left}"


def _left(change: MembershipChange) -> str:
    if not change.slots:
        return "no worker is left"
    each = ", ".join(f"{worker} {slots}" for worker, slots in sorted(change.slots.items()))
    return f"{sum(change.slots.values())} slots now: {each}"
