"""How much batch work may be on its way. Pure: time is an argument.

Batch requests share slots: those of one model travel and are answered together, a *lane*, and take one slot.
How many share one is learnt, so that the lane comes back in a short time: what delays interactive requests
is not how much batch work there is, but how long a piece lasts. While interactive requests come, a piece
takes little longer than one of them, there is one at a time, none begins while an interactive request is on
its way, and between two there is rest.
"""

from dataclasses import dataclass, field
from typing import Final

INITIAL_BATCH_SIZE: Final = 4
"""Requests of a model that go together before anything is known of it."""
MAX_SIZE_STEP: Final = 2.0
"""By how much the number of those may rise or fall from one time to the next."""
INTERACTIVE_IDLE_S: Final = 2.0
"""Seconds after the last interactive request in which the next one is expected."""
MAX_REST_S: Final = 0.25
"""Seconds after which backfill goes on beside interactive requests, however many there are."""
MAX_SLOT_WAIT_S: Final = 2.0
"""Seconds after which other slots stop waiting for this one: its model is slow, or its backend hangs."""
YIELDING_SHARE: Final = 0.1
"""How much longer than an interactive request a lane may take while those come, as a share of its length
without them."""
SERVICE_TIME_WEIGHT: Final = 0.1
"""How much of what an interactive request took goes into what they take lately."""
MIN_DURATION_S: Final = 1e-6
"""Seconds that a lane takes at least."""

Kind = tuple[str, str | None]
"""Model and version."""


@dataclass(slots=True, eq=False)
class BatchSlot:
    """A slot that batch requests of one kind share.

    Attributes:
        kind: theirs.
        opened_at: when the first one was placed, seconds since the epoch.
        yielding: whether interactive requests were coming.
        ids: those that have not come back.
        size: how many there were.
    """

    kind: Kind
    opened_at: float
    yielding: bool
    ids: set[str] = field(default_factory=set)
    size: int = 0


class InteractiveYield:
    """When a lane may begin, so that interactive requests do not wait for it.

    Args:
        rest: seconds between two slots_taken, for each second that the one before took.
    """

    def __init__(self, rest: float) -> None:
        self._rest = rest
        self._interactive_at = float("-inf")
        self._ended_at = float("-inf")
        self._took = 0.0

    def interactive(self, now: float) -> None:
        """An interactive request was placed."""
        self._interactive_at = now

    def ended(self, took: float, now: float) -> None:
        """A lane is free again after so many seconds."""
        self._ended_at, self._took = now, took

    def yielding(self, now: float) -> bool:
        """Whether interactive requests come."""
        return now - self._interactive_at < INTERACTIVE_IDLE_S

    def wait(self, now: float, *, interactive: int, slots_taken: int) -> float:
        """Return seconds until a lane may begin; 0 for now, and infinity until something comes back.

        Args:
            now: seconds since the epoch.
            interactive: requests that are on their way.
            slots_taken: that are, and are waited for.
        """
        if not self.yielding(now):
            return 0.0
        if slots_taken:
            return float("inf")
        longest = self._ended_at + MAX_REST_S - now
        if interactive:
            return max(0.0, longest)
        return max(0.0, min(longest, self._ended_at + self._took * self._rest - now))


class Backfill:
    """The batch slots of one backend.

    Args:
        most: requests of a lane at most.
        turn: seconds in which a lane shall be free again.
        share: of a backend's slots, how many may be lanes; one in any case.
        interactive_yield: towards interactive requests.
    """

    def __init__(self, *, most: int, turn: float, share: float, interactive_yield: InteractiveYield) -> None:
        self._most = most
        self._turn = turn
        self._share = share
        self._interactive_yield = interactive_yield
        self._filling: dict[Kind, BatchSlot] = {}
        self._by_id: dict[str, BatchSlot] = {}
        self._slots: set[BatchSlot] = set()
        self._sizes: dict[tuple[Kind, bool], float] = {}
        self._usual: dict[str, float] = {}  # seconds that an interactive request takes lately, by model

    @property
    def requests(self) -> int:
        """How many requests are on their way."""
        return len(self._by_id)

    @property
    def slots_taken(self) -> int:
        """How many slots they take."""
        return len(self._slots)

    def slots_of(self, requests: int) -> int:
        """Return how many slots so many of the requests on their way take at most."""
        taken = 0
        for size in sorted(len(lane.ids) for lane in self._slots):
            if requests <= 0:
                break
            requests -= size
            taken += 1
        return taken

    def awaited(self, now: float) -> int:
        """Return how many slots a new one waits for while interactive requests come."""
        return sum(now - lane.opened_at < MAX_SLOT_WAIT_S for lane in self._slots)

    def room(self, kind: Kind, now: float, *, free: int, slots: int, begin: bool) -> int:
        """Return how many more requests of a kind may be placed now.

        Args:
            kind: theirs.
            now: seconds since the epoch.
            free: slots of the backend that nobody has.
            slots: all of its slots.
            begin: whether a lane may begin.
        """
        lane = self._filling.get(kind)
        if lane is not None:
            return self._limit(lane) - lane.size
        if not begin or free <= 0 or len(self._slots) >= max(1, int(slots * self._share)):
            return 0
        return self._limit(BatchSlot(kind, now, self._interactive_yield.yielding(now)))

    def placed(self, kind: Kind, request_id: str, now: float, *, alone: bool) -> BatchSlot:
        """Note a placed request, and return its lane; one that cannot travel with others has it `alone`."""
        lane = None if alone else self._filling.get(kind)
        if lane is None:
            lane = BatchSlot(kind, now, self._interactive_yield.yielding(now))
            self._slots.add(lane)
            if not alone:
                self._filling[kind] = lane
        earlier = self._by_id.get(request_id)
        if earlier is not None and earlier is not lane:
            self._drop(earlier, request_id)  # it is on its way twice, and comes back under one id
        lane.ids.add(request_id)
        lane.size += 1
        self._by_id[request_id] = lane
        if not alone and lane.size >= self._limit(lane):
            del self._filling[kind]
        return lane

    def sent(self) -> None:
        """What was placed is on its way: nothing more joins it."""
        self._filling.clear()

    def answered(self, model: str, took: float) -> None:
        """An interactive request of a model came back from there after so many seconds."""
        usual = self._usual.get(model, took)
        self._usual[model] = usual + SERVICE_TIME_WEIGHT * (took - usual)

    def left(self, request_id: str, now: float) -> None:
        """A request is not there any more; the last one of a lane says how long that took."""
        lane = self._by_id.pop(request_id, None)
        if lane is None or not self._drop(lane, request_id):
            return
        took = max(now - lane.opened_at, MIN_DURATION_S)
        self._interactive_yield.ended(took, now)
        self._learn(lane, took)

    def clear(self) -> None:
        """Forget all that is on its way."""
        self._filling.clear()
        self._by_id.clear()
        self._slots.clear()

    def _drop(self, lane: BatchSlot, request_id: str) -> bool:
        """Take a request out of its lane; returns whether that was the last one of a lane that was sent."""
        lane.ids.discard(request_id)
        if lane.ids:
            return False
        self._slots.discard(lane)
        if self._filling.get(lane.kind) is lane:
            del self._filling[lane.kind]  # it was never sent
            return False
        return True

    def _limit(self, lane: BatchSlot) -> int:
        return int(self._sizes.get((lane.kind, lane.yielding), min(INITIAL_BATCH_SIZE, self._most)))

    def _learn(self, lane: BatchSlot, took: float) -> None:
        turn = self._turn
        if lane.yielding:
            # The way there and back is no shorter for fewer requests: one alone says how long it is.
            turn, took = turn * YIELDING_SHARE, max(took - self._usual.get(lane.kind[0], 0.0), MIN_DURATION_S)
        fitting = lane.size * turn / took
        size = min(max(fitting, lane.size / MAX_SIZE_STEP), lane.size * MAX_SIZE_STEP)
        if size > lane.size and lane.size < self._limit(lane):
            return  # it was not full, and says nothing of a larger one
        self._sizes[lane.kind, lane.yielding] = min(max(size, 1.0), float(self._most))
