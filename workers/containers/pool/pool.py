"""Warm model servers: started when asked for or to stand ready, shared, replaced when dead, not kept idle."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from threading import Condition, Event, Thread, current_thread
from typing import Final

from straightline.contracts import ModelSpec
from workers.containers.pool import scaling
from workers.containers.pool.cold_start import start_server
from workers.containers.pool.diagnosis import exit_fault
from workers.containers.pool.driver import Driver
from workers.containers.pool.warm_server import Lease, ModelKey, Slot, WarmServer
from workers.protocol.errors import BackendFault

_CLOSE_TIMEOUT_S: Final = 15.0
"""Seconds that starts get to notice that the pool closes."""
_RETRY_INTERVAL_S: Final = 30.0
"""Seconds from a start that failed until one that nobody waits for is tried again."""
_log = logging.getLogger(__name__)


class WarmPool:
    """For each version of a model as many servers as its `warm` says, else one; at most `most` in all.

    Requests for a model that is being started wait for that one start. Where all servers of a model are busy
    and it may have more, another one is started beside, and nobody waits for it. When the pool is full, the
    server that has been unused longest makes room; when all are in use, the request waits until one is not.
    What is to stand ready (`keep`) is started by `tend`, and not removed as idle.

    Args:
        driver: what starts servers.
        most: servers that may exist at once, those that are being removed included.
        idle: seconds without a request after which a server is removed; a model may have its own.
        patience: seconds that a server has to become ready.
        busy: requests at a server from which on it counts as busy.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        driver: Driver,
        *,
        most: int,
        idle: float,
        patience: float,
        busy: int = 4,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._driver = driver
        self._most = most
        self._idle = idle
        self._patience = patience
        self._busy = busy
        self._clock = clock
        self._changed = Condition()
        self._slots: list[Slot] = []
        self._kept: dict[ModelKey, ModelSpec] = {}
        self._not_before: dict[ModelKey, float] = {}  # of starts that nobody waits for, after one that failed
        self._leaving = 0
        self._starts: set[Thread] = set()
        self._stopping = Event()
        self._gone: Callable[[ModelKey], bool] = lambda _: False

    def forget(self, gone: Callable[[ModelKey], bool]) -> None:
        """Let `tend` remove the unused servers of versions that are gone, however short they were unused."""
        self._gone = gone

    def keep(self, models: Iterable[ModelSpec]) -> None:
        """Have so many servers of these stand ready as their `warm.minimum` says, and none of others."""
        with self._changed:
            self._kept = {(model.name, model.version): model for model in models}

    @contextmanager
    def lease(self, model: ModelSpec, timeout: float) -> Iterator[Lease]:
        """Hold a ready server of `model` for one call; it is not removed as idle meanwhile.

        Raises:
            BackendFault: `no_capacity` where the pool stayed full for `timeout` seconds,
                `cold_start_timed_out` where the server did not become ready in that time (its start goes on
                for those who come later), or what went wrong with the start.
        """
        deadline = self._clock() + timeout
        slot, cold = self._enter(model, deadline)
        entered = self._clock()
        try:
            try:
                warm = slot.ready.result(timeout=max(0.0, deadline - self._clock()))
            except TimeoutError:
                raise BackendFault(
                    f"{model.name} {model.version} was still starting when the request's {timeout:.3g} s "
                    "were over",
                    error_class="cold_start_timed_out",
                    cold_start=self._clock() - entered,
                ) from None
            except BackendFault as fault:
                # Each waiter gets its own: an exception that several threads raise mixes their tracebacks.
                raise BackendFault(
                    str(fault), error_class=fault.error_class, cold_start=self._clock() - entered
                ) from fault
            yield Lease(warm, self._clock() - entered if cold else None)
        finally:
            self._leave(slot)

    def discard(self, warm: WarmServer) -> None:
        """Remove a server that answers no more; the next request starts another. Twice is once."""
        with self._changed:
            slot = next((slot for slot in self._slots if slot.warm is warm), None)
            if slot is None:
                return
            self._take_out(slot)
        self._remove(warm)

    def tend(self) -> None:
        """Remove what was idle too long and what died, start what is to stand ready; called now and then."""
        with self._changed:
            now = self._clock()
            expired = scaling.idle_slots(self._slots, self._kept, self._idle, now)
            expired += [
                slot for slot in self._slots if slot.unused and self._gone(slot.key) and slot not in expired
            ]
            for slot in expired:
                self._take_out(slot)
            warm = [slot.warm for slot in self._slots if slot.warm is not None]
        for slot in expired:
            if slot.warm is not None:
                why = (
                    "its version was removed"
                    if self._gone(slot.key)
                    else f"it was idle for {now - slot.last_used:g} s"
                )
                _log.info("%s is removed: %s", slot.warm.server.title, why)
                self._remove(slot.warm)
        for one in warm:
            ended = one.server.exit()
            if ended is not None:
                _log.warning("%s", exit_fault(one.server.title, ended))
                self.discard(one)
        with self._changed:
            for model in scaling.models_to_start(self._slots, self._kept.values(), self._room()):
                self._begin_unasked(model)

    def size(self) -> int:
        """Servers that exist now, in whatever state."""
        with self._changed:
            return len(self._slots) + self._leaving

    def users(self, model: ModelSpec) -> int:
        """Requests that wait for a server of that model, or use one."""
        with self._changed:
            return sum(slot.users for slot in self._of(model))

    def close(self) -> None:
        """Remove all servers and start none any more; calling it again does nothing."""
        with self._changed:
            self._stopping.set()
            starts = list(self._starts)
            self._changed.notify_all()
        for start in starts:
            start.join(_CLOSE_TIMEOUT_S)
        with self._changed:
            ready = [slot for slot in self._slots if slot.warm is not None]
            for slot in ready:
                self._take_out(slot)
        for slot in ready:
            if slot.warm is not None:
                self._remove(slot.warm)

    def _enter(self, model: ModelSpec, deadline: float) -> tuple[Slot, bool]:
        """Count a user on one of the model's slots; also say whether it has to wait for a start."""
        while True:
            with self._changed:
                if self._stopping.is_set():
                    raise BackendFault("this worker stops", error_class="unreachable")
                mine = self._of(model)
                slot = scaling.least_used(mine)
                if slot is None and self._room():
                    slot = self._begin(model)
                elif self._room() and scaling.should_scale_out(mine, model, self._busy):
                    self._begin_unasked(model)
                if slot is not None:
                    slot.users += 1
                    return slot, slot.warm is None
                victim = scaling.eviction_candidate(self._slots, self._kept)
                if victim is None:
                    self._await_room(deadline)
                    continue
                self._take_out(victim)
            if victim.warm is not None:
                _log.info("%s makes room for %s %s", victim.warm.server.title, model.name, model.version)
                self._remove(victim.warm)

    def _await_room(self, deadline: float) -> None:
        left = deadline - self._clock()
        if left <= 0:
            raise BackendFault(
                f"all {self._most} containers are in use: raise STRAIGHTLINE_CONTAINER_MAX",
                error_class="no_capacity",
            )
        self._changed.wait(left)

    def _room(self) -> int:
        return 0 if self._stopping.is_set() else max(0, self._most - len(self._slots) - self._leaving)

    def _of(self, model: ModelSpec) -> list[Slot]:
        return [slot for slot in self._slots if slot.key == (model.name, model.version)]

    def _begin_unasked(self, model: ModelSpec) -> None:
        """Start a server that nobody waits for; not again at once where that has failed."""
        if self._not_before.get((model.name, model.version), 0.0) <= self._clock():
            with suppress(BackendFault):  # no thread now: the next sweep tries again
                self._begin(model)

    def _begin(self, model: ModelSpec) -> Slot:
        slot = Slot(model, self._clock())
        self._slots.append(slot)
        # A thread of its own: the start outlives the request that caused it, for those who come later.
        start = Thread(target=self._start, args=(slot, model), name=f"start-{model.name}", daemon=True)
        try:
            start.start()
        except RuntimeError as error:  # the system gives no more threads now
            self._slots.remove(slot)
            raise BackendFault(f"no server can be started: {error}", error_class="no_capacity") from error
        self._starts.add(start)
        return slot

    def _start(self, slot: Slot, model: ModelSpec) -> None:
        began = self._clock()
        try:
            warm = start_server(self._driver, model, self._patience, self._stopping)
        # Whatever it is, those who wait must hear of it.
        except Exception as error:  # noqa: BLE001
            fault = _as_fault(error)
            self._not_before[slot.key] = self._clock() + _RETRY_INTERVAL_S
            if not self._settle(slot, None) and not slot.users:
                _log.warning("no server of %s %s stands ready: %s", *slot.key, fault)
            slot.ready.set_exception(fault)
            return
        if self._settle(slot, warm):
            _log.info("%s is ready after %.3f s", warm.server.title, self._clock() - began)
            slot.ready.set_result(warm)
        else:
            warm.remove()
            slot.ready.set_exception(BackendFault("this worker stops", error_class="unreachable"))

    def _settle(self, slot: Slot, warm: WarmServer | None) -> bool:
        """Put the server in its place; False where it has none, for it failed or the pool closes."""
        with self._changed:
            self._starts.discard(current_thread())
            kept = warm is not None and not self._stopping.is_set()
            if kept:
                slot.warm, slot.last_used = warm, self._clock()
                self._not_before.pop(slot.key, None)
            elif slot in self._slots:
                self._slots.remove(slot)
            self._changed.notify_all()
            return kept

    def _leave(self, slot: Slot) -> None:
        with self._changed:
            slot.users -= 1
            slot.last_used = self._clock()
            self._changed.notify_all()

    def _take_out(self, slot: Slot) -> None:
        self._slots.remove(slot)
        self._leaving += 1

    def _remove(self, warm: WarmServer) -> None:
        try:
            warm.remove()
        finally:
            with self._changed:
                self._leaving -= 1
                self._changed.notify_all()


def _as_fault(error: Exception) -> BackendFault:
    if isinstance(error, BackendFault):
        return error
    _log.error("a server could not be started", exc_info=error)
    return BackendFault(f"the server could not be started: {error!r}", error_class="internal")
