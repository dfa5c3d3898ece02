"""One backend's workers, and the requests in flight there."""

from collections.abc import Iterable
from dataclasses import dataclass

from scheduler.feedback.backfill import Backfill, Kind
from scheduler.feedback.in_flight import InFlight
from scheduler.feedback.membership_log import MembershipChange
from scheduler.placement.model import BackendState
from scheduler.placement.throughput import Throughput
from straightline.contracts import Heartbeat
from straightline.contracts.signals import MAX_MISSED_HEARTBEATS
from straightline.names import Backend


@dataclass(slots=True)
class Worker:
    """A worker's last heartbeat, and when it arrived."""

    heartbeat: Heartbeat
    seen_at: float

    def live(self, now: float) -> bool:
        """Whether a heartbeat arrived within the allowed number of intervals."""
        return now - self.seen_at <= MAX_MISSED_HEARTBEATS * self.heartbeat.interval


class Pool:
    """Counts the slots of one backend's workers, and the requests in flight there."""

    def __init__(self, backfill: Backfill) -> None:
        self.backfill = backfill
        self.workers: dict[str, Worker] = {}
        self.in_flight: dict[str, InFlight] = {}  # by request id
        self.foreign = 0  # requests there that an earlier scheduler placed
        self.stuck = 0  # slots of requests in flight that only silent workers can have
        self.throughput = Throughput()
        self.rate: float | None = None  # requests per second when full
        self.usable: list[Heartbeat] = []
        self.slots: dict[str, int] = {}  # of the usable workers
        self.down: str | None = "no pool reports"
        self.idle = BackendState(down=self.down)  # the state without any request in flight

    @property
    def taken(self) -> int:
        """Number of slots that requests in flight take."""
        return len(self.in_flight) - self.backfill.requests + self.backfill.slots_taken

    def refresh(self, now: float) -> None:
        """Derive the state from the heartbeats."""
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

    def _stuck(self, live: list[Worker]) -> int:
        """Count the slots that a lost host had: its requests take none of the others until redelivery."""
        if len(live) == len(self.workers):
            return 0
        there = sum(worker.heartbeat.slots for worker in self.workers.values()) - sum(
            worker.heartbeat.slots for worker in live
        )
        # Heartbeats count requests, not slots. Requests that share one are attributed to live workers first.
        active = sum(worker.heartbeat.active for worker in live)
        single = min(active, len(self.in_flight) - self.backfill.requests)
        elsewhere = self.taken - single - self.backfill.slots_of(active - single)
        return max(0, min(there, elsewhere))

    def membership_change(self, backend: Backend, now: float) -> MembershipChange | None:
        """Return which workers joined and left since the last call; None where none did."""
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
            return "it closed"
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
        """Return the state now. Only the free slots change between heartbeats."""
        idle = self.idle
        if idle.down is not None:
            return idle
        busy = max(0, self.taken + self.foreign - self.stuck)
        return BackendState(
            None, idle.free - busy, idle.models, idle.max_payload, idle.best_cases, busy, self.rate
        )

    def for_batch(self, kind: Kind, now: float, *, begin: bool) -> BackendState:
        """Return the state for batch requests of a kind: `free` is what backfill may take."""
        state, idle = self.state(), self.idle
        if state.down is not None:
            return state
        room = self.backfill.room(kind, now, free=state.free, slots=idle.free, begin=begin)
        return BackendState(None, room, idle.models, idle.max_payload, idle.best_cases, state.busy, self.rate)

    def forget(self, request_id: str, now: float) -> bool:
        """Note that a request left; return whether it was in flight here."""
        self.backfill.left(request_id, now)
        return self.in_flight.pop(request_id, None) is not None


def _fastest(beats: Iterable[Heartbeat]) -> dict[str, float]:
    """Return the fastest recent answer of each model on these workers, in seconds."""
    found: dict[str, float] = {}
    for beat in beats:
        for model, seconds in beat.best_cases.items():
            found[model] = min(seconds, found.get(model, seconds))
    return found
