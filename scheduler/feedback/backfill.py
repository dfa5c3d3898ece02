"""How much batch work may be in flight on a backend.

Batch requests share slots: those of one model travel and are answered together and take one slot. The number
that share a slot is learned, so that the slot is soon free again. The delay of interactive requests does not
depend on how much batch work there is, but on how long one piece takes. While interactive requests are
expected, a piece takes little longer than one of them, there is one at a time, none begins while an
interactive request is in flight, and a rest follows each.
"""

from dataclasses import dataclass, field
from typing import Final

from scheduler.feedback.interactive_yield import InteractiveYield

INITIAL_BATCH_SIZE: Final = 4
"""Requests of a model that share a slot before a duration is known."""
MAX_SIZE_STEP: Final = 2.0
"""Factor by which the number of requests may grow or shrink from one slot to the next."""
MAX_SLOT_WAIT_S: Final = 2.0
"""Seconds after which other slots stop waiting for this one: its model is slow, or its backend hangs."""
YIELDING_SHARE: Final = 0.1
"""Share of the target duration that a slot may take beyond an interactive request, while these are
expected."""
SERVICE_TIME_WEIGHT: Final = 0.1
"""Weight of the newest sample in the moving average of interactive service times."""
MIN_DURATION_S: Final = 1e-6
"""Lower bound for a measured duration."""

Kind = tuple[str, str | None]
"""Model and version."""


@dataclass(slots=True, eq=False)
class BatchSlot:
    """A slot that batch requests of one kind share.

    Attributes:
        kind: model and version of the requests.
        opened_at: time of the first placement, seconds since the epoch.
        yielding: whether interactive requests were expected then.
        ids: requests that have not come back.
        size: number of requests that were placed.
    """

    kind: Kind
    opened_at: float
    yielding: bool
    ids: set[str] = field(default_factory=set)
    size: int = 0


class Backfill:
    """The batch slots of one backend.

    Args:
        max_requests: of one slot.
        turn_s: target seconds until a slot is free again.
        share: of a backend's slots, how many may be lanes; one in any case.
        interactive_yield: tells whether interactive requests are expected.
    """

    def __init__(
        self, *, max_requests: int, turn_s: float, share: float, interactive_yield: InteractiveYield
    ) -> None:
        self._max_requests = max_requests
        self._turn_s = turn_s
        self._share = share
        self._interactive_yield = interactive_yield
        self._filling: dict[Kind, BatchSlot] = {}
        self._by_id: dict[str, BatchSlot] = {}
        self._slots: set[BatchSlot] = set()
        self._sizes: dict[tuple[Kind, bool], float] = {}
        self._usual: dict[str, float] = {}  # by model: recent seconds of an interactive request

    @property
    def requests(self) -> int:
        """Number of batch requests in flight."""
        return len(self._by_id)

    @property
    def slots_taken(self) -> int:
        """Number of slots that they take."""
        return len(self._slots)

    def slots_of(self, requests: int) -> int:
        """Return the most slots that `requests` of those in flight can take."""
        taken = 0
        for size in sorted(len(slot.ids) for slot in self._slots):
            if requests <= 0:
                break
            requests -= size
            taken += 1
        return taken

    def awaited(self, now: float) -> int:
        """Return how many slots a new one waits for while interactive requests are expected."""
        return sum(now - slot.opened_at < MAX_SLOT_WAIT_S for slot in self._slots)

    def room(self, kind: Kind, now: float, *, free: int, slots: int, begin: bool) -> int:
        """Return how many more requests of a kind may be placed now.

        Args:
            kind: their model and version.
            now: seconds since the epoch.
            free: free slots of the backend.
            slots: all of its slots.
            begin: whether a new slot may begin.
        """
        slot = self._filling.get(kind)
        if slot is not None:
            return self._limit(slot) - slot.size
        if not begin or free <= 0 or len(self._slots) >= max(1, int(slots * self._share)):
            return 0
        return self._limit(BatchSlot(kind, now, self._interactive_yield.yielding(now)))

    def placed(self, kind: Kind, request_id: str, now: float, *, alone: bool) -> BatchSlot:
        """Note a placed request and return its slot; `alone` where it must not travel with others."""
        slot = None if alone else self._filling.get(kind)
        if slot is None:
            slot = BatchSlot(kind, now, self._interactive_yield.yielding(now))
            self._slots.add(slot)
            if not alone:
                self._filling[kind] = slot
        earlier = self._by_id.get(request_id)
        if earlier is not None and earlier is not slot:
            self._drop(earlier, request_id)  # in flight twice; it comes back under one id
        slot.ids.add(request_id)
        slot.size += 1
        self._by_id[request_id] = slot
        if not alone and slot.size >= self._limit(slot):
            del self._filling[kind]
        return slot

    def sent(self) -> None:
        """Close the slots that were filling: their requests are sent."""
        self._filling.clear()

    def answered(self, model: str, took: float) -> None:
        """Note that an interactive request of a model took `took` seconds."""
        usual = self._usual.get(model, took)
        self._usual[model] = usual + SERVICE_TIME_WEIGHT * (took - usual)

    def left(self, request_id: str, now: float) -> None:
        """Note that a request left the backend; the last one of a slot tells how long the slot took."""
        slot = self._by_id.pop(request_id, None)
        if slot is None or not self._drop(slot, request_id):
            return
        took = max(now - slot.opened_at, MIN_DURATION_S)
        self._interactive_yield.ended(took, now)
        self._learn(slot, took)

    def clear(self) -> None:
        """Forget all requests in flight."""
        self._filling.clear()
        self._by_id.clear()
        self._slots.clear()

    def _drop(self, slot: BatchSlot, request_id: str) -> bool:
        """Remove a request from its slot; return whether it was the last one of a sent slot."""
        slot.ids.discard(request_id)
        if slot.ids:
            return False
        self._slots.discard(slot)
        if self._filling.get(slot.kind) is slot:
            del self._filling[slot.kind]  # never sent
            return False
        return True

    def _limit(self, slot: BatchSlot) -> int:
        return int(self._sizes.get((slot.kind, slot.yielding), min(INITIAL_BATCH_SIZE, self._max_requests)))

    def _learn(self, slot: BatchSlot, took: float) -> None:
        turn = self._turn_s
        if slot.yielding:
            # Transport takes the same time for fewer requests: a single request tells how long.
            turn, took = turn * YIELDING_SHARE, max(took - self._usual.get(slot.kind[0], 0.0), MIN_DURATION_S)
        fitting = slot.size * turn / took
        size = min(max(fitting, slot.size / MAX_SIZE_STEP), slot.size * MAX_SIZE_STEP)
        if size > slot.size and slot.size < self._limit(slot):
            return  # it was not full, so it gives no evidence for a larger one
        self._sizes[slot.kind, slot.yielding] = min(max(size, 1.0), float(self._max_requests))
