"""The state of every backend, from heartbeats and from the requests in flight."""

from collections.abc import Callable
from typing import Final

from scheduler.feedback.backfill import Backfill, BatchSlot, Kind
from scheduler.feedback.in_flight import NO_CONTEXT, InFlight, PlacementContext
from scheduler.feedback.interactive_yield import InteractiveYield
from scheduler.feedback.membership_log import MembershipChange
from scheduler.feedback.pool import Pool, Worker
from scheduler.placement.model import ALL, BackendState, State
from straightline.contracts import Feedback, Heartbeat
from straightline.contracts.signals import FORGET_AFTER_HEARTBEATS
from straightline.names import Backend

MAX_PICKUP_S: Final = 5.0
"""Seconds in which an idle worker has taken every request placed for it."""


class BackendStates:
    """Keeps the state of every backend; policies read `state`.

    Args:
        backfill: makes the account of a backend's batch work.
        interactive_yield: tells when batch work may begin.
    """

    def __init__(
        self, backfill: Callable[[InteractiveYield], Backfill], interactive_yield: InteractiveYield
    ) -> None:
        self._interactive_yield = interactive_yield
        self._backends = {backend: Pool(backfill(interactive_yield)) for backend in ALL}
        self._membership_changes: list[MembershipChange] = []
        self.state: dict[Backend, BackendState] = {
            backend: BackendState("no pool reports") for backend in ALL
        }

    def heartbeat(self, beat: Heartbeat, now: float) -> None:
        """Take a heartbeat."""
        pool = self._backends[beat.backend]
        if beat.closing:
            pool.workers.pop(beat.worker, None)
        else:
            pool.workers[beat.worker] = Worker(beat, now)
        # Requests of a dead worker are redelivered to another one, which counts them.
        active = sum(worker.heartbeat.active for worker in pool.workers.values() if worker.live(now))
        if active == 0:
            self._expire_stale(pool, now)
        pool.foreign = max(0, active - len(pool.in_flight))
        self._refresh(beat.backend, now)

    def membership_changes(self) -> list[MembershipChange]:
        """Return the membership changes since the last call, in order."""
        if not self._membership_changes:
            return []
        taken, self._membership_changes = self._membership_changes, []
        return taken

    def model_of(self, backend: Backend, request_id: str) -> str | None:
        """Return the model of a request in flight; None where the request is not known."""
        flight = self._backends[backend].in_flight.get(request_id)
        return flight and flight.model

    def flight(self, request_id: str) -> tuple[Backend, InFlight] | None:
        """Return the backend and record of a request in flight; None where the request is not known."""
        found = [
            (backend, flight)
            for backend, pool in self._backends.items()
            if (flight := pool.in_flight.get(request_id)) is not None
        ]
        return max(found, key=lambda each: each[1].placed_at, default=None)

    def batch_wait(self, now: float) -> float:
        """Return seconds until batch work may begin; infinity until a request comes back."""
        pools = self._backends.values()
        slots_taken = sum(pool.backfill.awaited(now) for pool in pools)
        interactive = sum(len(pool.in_flight) - pool.backfill.requests for pool in pools)
        return self._interactive_yield.wait(now, interactive=interactive, slots_taken=slots_taken)

    def for_batch(self, kind: Kind, now: float) -> State:
        """Return the state of every backend for batch requests of a model and version."""
        begin = self.batch_wait(now) == 0.0
        return {backend: pool.for_batch(kind, now, begin=begin) for backend, pool in self._backends.items()}

    def placed(
        self,
        backend: Backend,
        model: str,
        request_id: str,
        now: float,
        deadline: float,
        *,
        context: PlacementContext = NO_CONTEXT,
    ) -> None:
        """Note that an interactive request was placed and takes a slot."""
        pool = self._backends[backend]
        pool.in_flight[request_id] = InFlight(model, now, deadline, interactive=True, context=context)
        self._interactive_yield.interactive(now)
        self.state[backend] = pool.state()

    def batch_placed(
        self,
        backend: Backend,
        kind: Kind,
        request_id: str,
        now: float,
        deadline: float,
        *,
        alone: bool,
        context: PlacementContext = NO_CONTEXT,
    ) -> BatchSlot:
        """Note that a batch request was placed; it shares its slot unless it travels `alone`."""
        pool = self._backends[backend]
        pool.in_flight[request_id] = InFlight(kind[0], now, deadline, interactive=False, context=context)
        lane = pool.backfill.placed(kind, request_id, now, alone=alone)
        self.state[backend] = pool.state()
        return lane

    def sent(self) -> None:
        """Note that all placed requests are sent."""
        for pool in self._backends.values():
            pool.backfill.sent()

    def feedback(self, feedback: Feedback, now: float) -> None:
        """Note that requests left a worker: their slots are free again."""
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

    def left(self, backend: Backend, request_id: str, now: float) -> None:
        """Note that a request left a backend, as a message other than feedback reported."""
        if self._backends[backend].forget(request_id, now):
            self.state[backend] = self._backends[backend].state()

    def tick(self, now: float) -> None:
        """Drop workers that fell silent, and requests whose feedback was lost."""
        for backend, pool in self._backends.items():
            for request_id in [key for key, flight in pool.in_flight.items() if flight.deadline < now]:
                pool.forget(request_id, now)
            for name, worker in list(pool.workers.items()):
                worker.seen_at = min(worker.seen_at, now)  # a clock set back must not keep a dead worker
                if now - worker.seen_at > FORGET_AFTER_HEARTBEATS * worker.heartbeat.interval:
                    del pool.workers[name]
            self._refresh(backend, now)

    def reset_in_flight(self) -> None:
        """Count from the heartbeats alone again: feedback may have been missed."""
        for pool in self._backends.values():
            pool.in_flight.clear()
            pool.backfill.clear()

    def _expire_stale(self, pool: Pool, now: float) -> None:
        """Drop old requests while all workers are idle: they are done, and their feedback was lost."""
        before = now - MAX_PICKUP_S
        for request_id in [key for key, flight in pool.in_flight.items() if flight.placed_at < before]:
            pool.forget(request_id, now)

    def _refresh(self, backend: Backend, now: float) -> None:
        pool = self._backends[backend]
        pool.refresh(now)
        membership_change = pool.membership_change(backend, now)
        if membership_change is not None:
            self._membership_changes.append(membership_change)
        self.state[backend] = pool.state()
