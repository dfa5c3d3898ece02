"""Requests that no backend can take now, first come, first served. No clock."""

from bisect import insort
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from math import inf
from typing import Final

from scheduler.effects import Delivery
from straightline.contracts import ModelSpec, Request, Ticket
from straightline.contracts.request import MAX_INLINE_BYTES

LARGE_REQUEST_BYTES: Final = MAX_INLINE_BYTES
"""Bytes in memory above which a request makes room where the window is full of bytes."""


@dataclass(slots=True, eq=False)
class PendingRequest:
    """A request on the scheduler's desk.

    Attributes:
        request, ticket, spec, delivery: what it is, its history, its model, and the message it came in.
        f_t: requests per second of its model.
        since: since when it is held here, seconds since the epoch.
        hold_key: of those of one kind none is placed before an older one; the model's name is its first part.
        max_wait: seconds that it may wait in a backend's queue, its deadline apart.
    """

    request: Request
    ticket: Ticket
    spec: ModelSpec
    delivery: Delivery
    f_t: float
    since: float = 0.0
    hold_key: tuple[Hashable, ...] = ()
    max_wait: float = inf


class HoldQueue:
    """A small window in memory, for the oldest; the caller sends the others to the broker's delay queues.

    Args:
        size: most requests in it; its bytes are bounded by `size * LARGE_REQUEST_BYTES`.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._bytes = 0
        self._held: list[PendingRequest] = []  # the oldest first
        self._kinds: Counter[tuple[Hashable, ...]] = Counter()

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[PendingRequest]:
        return iter(self._held)

    def count(self, model: str) -> int:
        """How many requests of a model are held."""
        return sum(count for kind, count in self._kinds.items() if kind[0] == model)

    def any(self, which: Callable[[PendingRequest], bool]) -> bool:
        """Whether such a request is held."""
        return any(map(which, self._held))

    def find(self, request_id: str) -> PendingRequest | None:
        """Return the request of that id; None where it is not held."""
        return next((case for case in self._held if case.request.id == request_id), None)

    def older(self, case: PendingRequest) -> bool:
        """Whether one of the same kind is held that came before, and is no larger."""
        return self._kinds[case.hold_key] > 0 and any(
            held.hold_key == case.hold_key and _age(held) <= _age(case) and held.ticket.r_d <= case.ticket.r_d
            for held in self._held
        )

    def add(self, case: PendingRequest) -> list[PendingRequest]:
        """Keep a request in the order of age; returns what must make room.

        That is the youngest where there are too many, and the youngest large ones where they have too many
        bytes: then there is always a large one.
        """
        insort(self._held, case, key=_age)
        self._kinds[case.hold_key] += 1
        self._bytes += _size(case)
        out = []
        if len(self._held) > self._size:
            out.append(self._take_out(-1))
        while self._bytes > self._size * LARGE_REQUEST_BYTES:
            place = max(place for place, held in enumerate(self._held) if _size(held) > LARGE_REQUEST_BYTES)
            out.append(self._take_out(place))
        return out

    def release(
        self, try_place: Callable[[PendingRequest], bool], kind_of: Callable[[PendingRequest], Hashable]
    ) -> None:
        """Offer every held request to `try_place`, oldest first, and keep those that it refuses.

        Once one of a kind (`kind_of`) was refused, those of it that are not smaller are not tried in this
        round.
        """
        refused: dict[Hashable, int] = {}
        kept: list[PendingRequest] = []
        for case in self._held:
            kind = kind_of(case)
            smallest = refused.get(kind)
            if (smallest is not None and case.ticket.r_d >= smallest) or not try_place(case):
                refused[kind] = min(case.ticket.r_d, smallest if smallest is not None else case.ticket.r_d)
                kept.append(case)
            else:
                self._forget(case)
        self._held = kept

    def drop(self, which: Callable[[PendingRequest], bool]) -> list[PendingRequest]:
        """Take out the requests that `which` names."""
        taken = [case for case in self._held if which(case)]
        if taken:
            self._held = [case for case in self._held if not which(case)]
            for case in taken:
                self._forget(case)
        return taken

    def _take_out(self, place: int) -> PendingRequest:
        case = self._held.pop(place)
        self._forget(case)
        return case

    def _forget(self, case: PendingRequest) -> None:
        self._bytes -= _size(case)
        self._kinds[case.hold_key] -= 1
        if not self._kinds[case.hold_key]:
            del self._kinds[case.hold_key]


def _age(case: PendingRequest) -> float:
    return case.ticket.received_at


def _size(case: PendingRequest) -> int:
    """Return the bytes that a request has in memory; data by reference has none."""
    return len(memoryview(case.ticket.request))
