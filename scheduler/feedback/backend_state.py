"""What is free right now, from the workers' heartbeats and our own count of what is on its way. No clock."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from scheduler.dispatch.backfill import Backfill, BatchSlot, InteractiveYield, Kind
from scheduler.placement.model import ALL, BackendState, State
from scheduler.placement.throughput import Throughput
from straightline.contracts import Attempt, Feedback, Heartbeat, Reason
from straightline.contracts.signals import FORGET_AFTER_HEARTBEATS, MAX_MISSED_HEARTBEATS

MAX_PICKUP_S: Final = 5.0
"""Seconds in which a worker with nothing to do has surely taken what was placed for it."""


@dataclass(slots=True)
class _Worker:
    heartbeat: Heartbeat
    seen_at: float

    def live(self, now: float) -> bool:
        return now - self.seen_at <= MAX_MISSED_HEARTBEATS * self.heartbeat.interval


class MembershipChange(NamedTuple):
    """Workers of a backend came or went.

    Attributes:
        backend: which one.
        gone: those that take no more, each with why.
        come: those that take work from now on.
        slots: of each that takes work now.
    """

    backend: str
    gone: dict[str, str]
    come: list[str]
    slots: dict[str, int]


class PlacementContext(NamedTuple):
    """What is told of a request on its way: its version, why it is where it is, and what failed before."""

    version: str | None = None
    reason: Reason | None = None
    failed: Sequence[Attempt] = ()


NO_CONTEXT: Final = PlacementContext()


class InFlight(NamedTuple):
    """A request on its way: its model, when it was placed and expires (seconds since the epoch)."""

    model: str
    placed_at: float
    deadline: float
    interactive: bool
    trail: PlacementContext


class _Pool:
    """One backend's workers, and the requests placed there that have not come back."""

    def __init__(self, backfill: Backfill) -> None:
        self.backfill = backfill
        self.workers: dict[str, _Worker] = {}
        self.in_flight: dict[str, InFlight] = {}  # by request id
        self.foreign = 0  # requests there that we do not know of: placed by a scheduler before us
        self.stuck = 0  # slots of those in flight that silent workers may have, and no other one has
        self.throughput = Throughput()
        self.rate: float | None = None  # requests per second when it is full
        self.usable: list[Heartbeat] = []
        self.slots: dict[str, int] = {}  # of the usable workers
        self.down: str | None = "no pool reports"
        self.idle = BackendState(down=self.down)  # as it were with nothing on its way

    @property
    def taken(self) -> int:
        """How many slots have those in flight."""
        return len(self.in_flight) - self.backfill.requests + self.backfill.slots_taken

    def refresh(self, now: float) -> None:
        live = [worker for worker in self.workers.values() if worker.live(now)]
        self.usable = [w.heartbeat for w in live if w.heartbeat.healthy]
        if self.usable:
            self.down = None
        elif live:
            self.down = f"unhealthy: {live[0].heartbeat.reason or 'no reason given'}"
        elif self.workers:
            self.down = f"no heartbeat for {MAX_MISSED_HEARTBEATS} intervals"
        else:
            self.down = "no pool reports"
        self.stuck = self._stuck(live)
        self.idle = self._idle()
        self.rate = self.throughput.rate(now)

    def _stuck(self, live: list[_Worker]) -> int:
        """Count what a host took with it: until the broker gives it to others, it takes no slot of theirs."""
        if len(live) == len(self.workers):
            return 0
        there = sum(worker.heartbeat.slots for worker in self.workers.values()) - sum(
            worker.heartbeat.slots for worker in live
        )
        # Heartbeats count requests, and who shares a slot may be anywhere: the living get as many as can be.
        active = sum(worker.heartbeat.active for worker in live)
        single = min(active, len(self.in_flight) - self.backfill.requests)
        elsewhere = self.taken - single - self.backfill.slots_of(active - single)
        return max(0, min(there, elsewhere))

    def membership_change(self, backend: str, now: float) -> MembershipChange | None:
        """Say which workers came and went since this was asked last; None where none did."""
        slots = {beat.worker: beat.slots for beat in self.usable}
        if slots == self.slots:
            return None
        before, self.slots = self.slots, slots
        return MembershipChange(
            backend,
            {name: self._why_gone(name, now) for name in before if name not in slots},
            [name for name in slots if name not in before],
            slots,
        )

    def _why_gone(self, name: str, now: float) -> str:
        worker = self.workers.get(name)
        if worker is None:
            return "it said goodbye"
        if not worker.live(now):
            return f"no heartbeat for {MAX_MISSED_HEARTBEATS} intervals"
        return worker.heartbeat.reason or "unhealthy"

    def _idle(self) -> BackendState:
        beats = self.usable
        if self.down is not None or not beats:
            return BackendState(down=self.down)
        models = [beat.models for beat in beats]
        payloads = [beat.max_payload for beat in beats]
        return BackendState(
            free=sum(beat.slots for beat in beats),
            models=None if any(m is None for m in models) else frozenset(n for m in models for n in m or ()),
            max_payload=None if None in payloads else max(p for p in payloads if p is not None),
            best_cases=_fastest(beats),
        )

    def state(self) -> BackendState:
        """Return the state now; asked for every request, while heartbeats change the rest of it."""
        idle = self.idle
        if idle.down is not None:
            return idle
        busy = max(0, self.taken + self.foreign - self.stuck)
        return BackendState(
            None, idle.free - busy, idle.models, idle.max_payload, idle.best_cases, busy, self.rate
        )

    def for_batch(self, kind: Kind, now: float, *, begin: bool) -> BackendState:
        """Return the state as batch requests of a kind may use it: free is what backfill may take."""
        state, idle = self.state(), self.idle
        if state.down is not None:
            return state
        room = self.backfill.room(kind, now, free=state.free, slots=idle.free, begin=begin)
        return BackendState(None, room, idle.models, idle.max_payload, idle.best_cases, state.busy, self.rate)

    def forget(self, request_id: str, now: float) -> bool:
        """A request is not there any more; returns whether it was."""
        self.backfill.left(request_id, now)
        return self.in_flight.pop(request_id, None) is not None


class BackendStates:
    """The state of every backend; `state` is what policies read.

    Args:
        backfill: makes the account of a backend's batch work.
        interactive_yield: says when batch work may begin.
    """

    def __init__(
        self, backfill: Callable[[InteractiveYield], Backfill], interactive_yield: InteractiveYield
    ) -> None:
        self._interactive_yield = interactive_yield
        self._backends = {backend: _Pool(backfill(interactive_yield)) for backend in ALL}
        self._membership_changes: list[MembershipChange] = []
        self.state: dict[str, BackendState] = {backend: BackendState("no pool reports") for backend in ALL}

    def heartbeat(self, beat: Heartbeat, now: float) -> None:
        """Take a worker's word on itself."""
        pool = self._backends[beat.backend]
        if beat.closing:
            pool.workers.pop(beat.worker, None)
        else:
            pool.workers[beat.worker] = _Worker(beat, now)
        # What a dead worker had is given to another one, which counts it.
        active = sum(worker.heartbeat.active for worker in pool.workers.values() if worker.live(now))
        if active == 0:
            self._expire_stale(pool, now)
        pool.foreign = max(0, active - len(pool.in_flight))
        self._refresh(beat.backend, now)

    def membership_changes(self) -> list[MembershipChange]:
        """Return which workers came and went since the last call, in order."""
        if not self._membership_changes:
            return []
        taken, self._membership_changes = self._membership_changes, []
        return taken

    def model_of(self, backend: str, request_id: str) -> str | None:
        """Return the model of a request that is on its way there; None where we do not know of it."""
        flight = self._backends[backend].in_flight.get(request_id)
        return flight and flight.model

    def flight(self, request_id: str) -> tuple[str, InFlight] | None:
        """Return where a request was placed that has not come back; None where we do not know of it."""
        found = [
            (backend, flight)
            for backend, pool in self._backends.items()
            if (flight := pool.in_flight.get(request_id)) is not None
        ]
        return max(found, key=lambda each: each[1].placed_at, default=None)

    def batch_wait(self, now: float) -> float:
        """Return seconds until batch work may begin; infinity until something comes back."""
        pools = self._backends.values()
        slots_taken = sum(pool.backfill.awaited(now) for pool in pools)
        interactive = sum(len(pool.in_flight) - pool.backfill.requests for pool in pools)
        return self._interactive_yield.wait(now, interactive=interactive, slots_taken=slots_taken)

    def for_batch(self, kind: Kind, now: float) -> State:
        """Return the state of every backend as batch requests of a model and version may use it."""
        begin = self.batch_wait(now) == 0.0
        return {backend: pool.for_batch(kind, now, begin=begin) for backend, pool in self._backends.items()}

    def placed(
        self,
        backend: str,
        model: str,
        request_id: str,
        now: float,
        deadline: float,
        *,
        trail: PlacementContext = NO_CONTEXT,
    ) -> None:
        """An interactive request is on its way there and takes a slot."""
        pool = self._backends[backend]
        pool.in_flight[request_id] = InFlight(model, now, deadline, interactive=True, trail=trail)
        self._interactive_yield.interactive(now)
        self.state[backend] = pool.state()

    def batch_placed(
        self,
        backend: str,
        kind: Kind,
        request_id: str,
        now: float,
        deadline: float,
        *,
        alone: bool,
        trail: PlacementContext = NO_CONTEXT,
    ) -> BatchSlot:
        """A batch request is on its way there, and shares its slot unless it goes `alone`."""
        pool = self._backends[backend]
        pool.in_flight[request_id] = InFlight(kind[0], now, deadline, interactive=False, trail=trail)
        lane = pool.backfill.placed(kind, request_id, now, alone=alone)
        self.state[backend] = pool.state()
        return lane

    def sent(self) -> None:
        """All that was placed is on its way."""
        for pool in self._backends.values():
            pool.backfill.sent()

    def feedback(self, feedback: Feedback, now: float) -> None:
        """Requests left a worker: their slots are free again."""
        pool = self._backends[feedback.backend]
        full, before = self.state[feedback.backend].free <= 0, pool.taken
        for done in feedback.done:
            flight = pool.in_flight.get(done.id)
            if flight is not None and flight.interactive and done.state == "succeeded":
                pool.backfill.answered(flight.model, now - flight.placed_at)
            pool.forget(done.id, now)
        if full:
            pool.throughput.answered(before - pool.taken, now)
        else:
            pool.throughput.idle(now)
        self.state[feedback.backend] = pool.state()

    def left(self, backend: str, request_id: str, now: float) -> None:
        """A request left a backend, as another message than feedback told us."""
        if self._backends[backend].forget(request_id, now):
            self.state[backend] = self._backends[backend].state()

    def tick(self, now: float) -> None:
        """Drop workers that fell silent, and slots whose feedback was lost."""
        for backend, pool in self._backends.items():
            for request_id in [key for key, flight in pool.in_flight.items() if flight.deadline < now]:
                pool.forget(request_id, now)
            for name, worker in list(pool.workers.items()):
                worker.seen_at = min(worker.seen_at, now)  # a clock set back must not keep the dead alive
                if now - worker.seen_at > FORGET_AFTER_HEARTBEATS * worker.heartbeat.interval:
                    del pool.workers[name]
            self._refresh(backend, now)

    def reset_in_flight(self) -> None:
        """Feedback may have been missed: count anew, from the heartbeats alone."""
        for pool in self._backends.values():
            pool.in_flight.clear()
            pool.backfill.clear()

    def _expire_stale(self, pool: _Pool, now: float) -> None:
        """All workers are idle: what was placed a while ago is done, and its feedback was lost."""
        before = now - MAX_PICKUP_S
        for request_id in [key for key, flight in pool.in_flight.items() if flight.placed_at < before]:
            pool.forget(request_id, now)

    def _refresh(self, backend: str, now: float) -> None:
        pool = self._backends[backend]
        pool.refresh(now)
        membership_change = pool.membership_change(backend, now)
        if membership_change is not None:
            self._membership_changes.append(membership_change)
        self.state[backend] = pool.state()


def _fastest(beats: Iterable[Heartbeat]) -> dict[str, float]:
    """Return the best case of each model on any of these workers."""
    found: dict[str, float] = {}
    for beat in beats:
        for model, seconds in beat.best_cases.items():
            found[model] = min(seconds, found.get(model, seconds))
    return found
