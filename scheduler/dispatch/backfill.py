"""How much batch work may be on its way. Pure: time is an argument.

Batch requests share slots: those of one model travel and are answered together, a *lane*, and take one slot.
How many share one is learnt, so that the lane comes back in a short time: what delays interactive requests
is not how much batch work there is, but how long a piece lasts. While interactive requests come, a piece
takes little longer than one of them, there is one at a time, none begins while an interactive request is on
its way, and between two there is rest.
"""

from dataclasses import dataclass, field
from typing import Final

FIRST: Final = 4
"""Requests of a model that go together before anything is known of it."""
STEP: Final = 2.0
"""By how much the number of those may rise or fall from one time to the next."""
QUIET: Final = 2.0
"""Seconds after the last interactive request in which the next one is expected."""
LONGEST_REST: Final = 0.25
"""Seconds after which backfill goes on beside interactive requests, however many there are."""
LONGEST_LANE: Final = 2.0
"""Seconds after which lanes elsewhere wait for one no more: its model is slow, or its backend hangs."""
GENTLE: Final = 0.1
"""How much longer than an interactive request a lane may take while those come, as a share of its length
without them."""
USUALLY: Final = 0.1
"""How much of what an interactive request took goes into what they take lately."""
SHORTEST: Final = 1e-6
"""Seconds that a lane takes at least."""

Kind = tuple[str, str | None]
"""Model and version."""


@dataclass(slots=True, eq=False)
class Lane:
    """A slot that batch requests of one kind share.

    Attributes:
        kind: theirs.
        opened_at: when the first one was placed, seconds since the epoch.
        gentle: whether interactive requests were coming.
        ids: those that have not come back.
        size: how many there were.
    """

    kind: Kind
    opened_at: float
    gentle: bool
    ids: set[str] = field(default_factory=set)
    size: int = 0


class Courtesy:
    """When a lane may begin, so that interactive requests do not wait for it.

    Args:
        rest: seconds between two lanes, for each second that the one before took.
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

    def gentle(self, now: float) -> bool:
        """Whether interactive requests come."""
        return now - self._interactive_at < QUIET

    def wait(self, now: float, *, interactive: int, lanes: int) -> float:
        """Return seconds until a lane may begin; 0 for now, and infinity until something comes back.

        Args:
            now: seconds since the epoch.
            interactive: requests that are on their way.
            lanes: that are, and are waited for.
        """
        if not self.gentle(now):
            return 0.0
        if lanes:
            return float("inf")
        longest = self._ended_at + LONGEST_REST - now
        if interactive:
            return max(0.0, longest)
        return max(0.0, min(longest, self._ended_at + self._took * self._rest - now))


class Backfill:
    """The lanes of one backend.

    Args:
        most: requests of a lane at most.
        turn: seconds in which a lane shall be free again.
        share: of a backend's slots, how many may be lanes; one in any case.
        courtesy: towards interactive requests.
    """

    def __init__(self, *, most: int, turn: float, share: float, courtesy: Courtesy) -> None:
        self._most = most
        self._turn = turn
        self._share = share
        self._courtesy = courtesy
        self._filling: dict[Kind, Lane] = {}
        self._by_id: dict[str, Lane] = {}
        self._lanes: set[Lane] = set()
        self._sizes: dict[tuple[Kind, bool], float] = {}
        self._usual: dict[str, float] = {}  # seconds that an interactive request takes lately, by model

    @property
    def requests(self) -> int:
        """How many requests are on their way."""
        return len(self._by_id)

    @property
    def lanes(self) -> int:
        """How many slots they take."""
        return len(self._lanes)

    def slots_of(self, requests: int) -> int:
        """Return how many slots so many of the requests on their way take at most."""
        taken = 0
        for size in sorted(len(lane.ids) for lane in self._lanes):
            if requests <= 0:
                break
            requests -= size
            taken += 1
        return taken

    def awaited(self, now: float) -> int:
        """Return how many lanes a new one waits for while interactive requests come."""
        return sum(now - lane.opened_at < LONGEST_LANE for lane in self._lanes)

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
        if not begin or free <= 0 or len(self._lanes) >= max(1, int(slots * self._share)):
            return 0
        return self._limit(Lane(kind, now, self._courtesy.gentle(now)))

    def placed(self, kind: Kind, request_id: str, now: float, *, alone: bool) -> Lane:
        """Note a placed request, and return its lane; one that cannot travel with others has it `alone`."""
        lane = None if alone else self._filling.get(kind)
        if lane is None:
            lane = Lane(kind, now, self._courtesy.gentle(now))
            self._lanes.add(lane)
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
        self._usual[model] = usual + USUALLY * (took - usual)

    def left(self, request_id: str, now: float) -> None:
        """A request is not there any more; the last one of a lane says how long that took."""
        lane = self._by_id.pop(request_id, None)
        if lane is None or not self._drop(lane, request_id):
            return
        took = max(now - lane.opened_at, SHORTEST)
        self._courtesy.ended(took, now)
        self._learn(lane, took)

    def clear(self) -> None:
        """Forget all that is on its way."""
        self._filling.clear()
        self._by_id.clear()
        self._lanes.clear()

    def _drop(self, lane: Lane, request_id: str) -> bool:
        """Take a request out of its lane; returns whether that was the last one of a lane that was sent."""
        lane.ids.discard(request_id)
        if lane.ids:
            return False
        self._lanes.discard(lane)
        if self._filling.get(lane.kind) is lane:
            del self._filling[lane.kind]  # it was never sent
            return False
        return True

    def _limit(self, lane: Lane) -> int:
        return int(self._sizes.get((lane.kind, lane.gentle), min(FIRST, self._most)))

    def _learn(self, lane: Lane, took: float) -> None:
        turn = self._turn
        if lane.gentle:
            # The way there and back is no shorter for fewer requests: one alone says how long it is.
            turn, took = turn * GENTLE, max(took - self._usual.get(lane.kind[0], 0.0), SHORTEST)
        fitting = lane.size * turn / took
        size = min(max(fitting, lane.size / STEP), lane.size * STEP)
        if size > lane.size and lane.size < self._limit(lane):
            return  # it was not full, and says nothing of a larger one
        self._sizes[lane.kind, lane.gentle] = min(max(size, 1.0), float(self._most))
