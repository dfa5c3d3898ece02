"""A bounded window of held requests in memory, first come, first served."""

from bisect import insort
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Final

from scheduler.lifecycle import PendingRequest
from straightline.contracts.request import MAX_INLINE_BYTES

LARGE_REQUEST_BYTES: Final = MAX_INLINE_BYTES
"""Bytes in memory above which a request makes room when the window exceeds its bytes."""


class HoldWindow:
    """Keeps the oldest requests in memory. The caller moves the others to the broker's delay queues.

    Args:
        size: maximum number of requests. Their bytes are bounded by `size * LARGE_REQUEST_BYTES`.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._bytes = 0
        self.held: list[PendingRequest] = []  # oldest first
        self._by_key: Counter[tuple[Hashable, ...]] = Counter()

    def __len__(self) -> int:
        return len(self.held)

    def count(self, model: str) -> int:
        """Count the held requests of a model."""
        return sum(count for key, count in self._by_key.items() if key[0] == model)

    def any(self, which: Callable[[PendingRequest], bool]) -> bool:
        """Whether such a request is held."""
        return any(map(which, self.held))

    def older(self, pending: PendingRequest) -> bool:
        """Whether an older request with the same hold key is held, and is not larger."""
        return self._by_key[pending.hold_key] > 0 and any(
            held.hold_key == pending.hold_key
            and _age(held) <= _age(pending)
            and held.ticket.r_d <= pending.ticket.r_d
            for held in self.held
        )

    def add(self, pending: PendingRequest) -> list[PendingRequest]:
        """Add a request in order of age, and return those that make room for it.

        These are the youngest if there are too many, and the youngest large ones if there are too many bytes.
        """
        insort(self.held, pending, key=_age)
        self._by_key[pending.hold_key] += 1
        self._bytes += _size(pending)
        out = []
        if len(self.held) > self._size:
            out.append(self._take_out(-1))
        while self._bytes > self._size * LARGE_REQUEST_BYTES:
            place = max(place for place, held in enumerate(self.held) if _size(held) > LARGE_REQUEST_BYTES)
            out.append(self._take_out(place))
        return out

    def release(
        self, try_place: Callable[[PendingRequest], bool], group_of: Callable[[PendingRequest], Hashable]
    ) -> None:
        """Offer the requests to `try_place`, oldest first, and keep those that it refuses.

        After a refusal, the requests of the same group that are not smaller are skipped in this round.
        """
        refused: dict[Hashable, int] = {}
        kept: list[PendingRequest] = []
        for pending in self.held:
            group = group_of(pending)
            smallest = refused.get(group)
            if (smallest is not None and pending.ticket.r_d >= smallest) or not try_place(pending):
                refused[group] = min(
                    pending.ticket.r_d, smallest if smallest is not None else pending.ticket.r_d
                )
                kept.append(pending)
            else:
                self._forget(pending)
        self.held = kept

    def drop(self, which: Callable[[PendingRequest], bool]) -> list[PendingRequest]:
        """Remove and return the requests that `which` selects."""
        taken = [pending for pending in self.held if which(pending)]
        if taken:
            self.held = [pending for pending in self.held if not which(pending)]
            for pending in taken:
                self._forget(pending)
        return taken

    def _take_out(self, place: int) -> PendingRequest:
        pending = self.held.pop(place)
        self._forget(pending)
        return pending

    def _forget(self, pending: PendingRequest) -> None:
        self._bytes -= _size(pending)
        self._by_key[pending.hold_key] -= 1
        if not self._by_key[pending.hold_key]:
            del self._by_key[pending.hold_key]


def _age(pending: PendingRequest) -> float:
    return pending.ticket.received_at


def _size(pending: PendingRequest) -> int:
    """Return the bytes of a request in memory; data by reference has none."""
    return len(memoryview(pending.ticket.request))
