"""Requests that no backend can take now, first come, first served. No clock."""

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass

from scheduler.deliveries import Delivery
from straightline.contracts import ModelSpec, Request, Ticket


@dataclass(slots=True, eq=False)
class Case:
    """A request on the scheduler's desk."""

    request: Request
    ticket: Ticket
    spec: ModelSpec
    delivery: Delivery
    f_t: float
    since: float = 0.0


class Holds:
    """A small window in memory; the caller sends what does not fit to the broker's delay queues."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._held: deque[Case] = deque()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def full(self) -> bool:
        """Whether another one must wait in the broker."""
        return len(self._held) >= self._size

    def add(self, case: Case) -> None:
        """Keep a request, behind those that came before."""
        self._held.append(case)

    def release(self, try_place: Callable[[Case], bool], kind_of: Callable[[Case], Hashable]) -> None:
        """Offer every held request to `try_place`, oldest first, and keep those that it refuses.

        Once one of a kind (`kind_of`) was refused, those of it that are not smaller are not tried in this
        round.
        """
        refused: dict[Hashable, int] = {}
        kept: deque[Case] = deque()
        while self._held:
            case = self._held.popleft()
            kind = kind_of(case)
            smallest = refused.get(kind)
            if (smallest is not None and case.ticket.r_d >= smallest) or not try_place(case):
                refused[kind] = min(case.ticket.r_d, smallest if smallest is not None else case.ticket.r_d)
                kept.append(case)
        self._held = kept

    def drop(self, which: Callable[[Case], bool]) -> Iterator[Case]:
        """Take out the requests that `which` names."""
        taken = [case for case in self._held if which(case)]
        if taken:
            self._held = deque(case for case in self._held if not which(case))
        return iter(taken)
