"""The pool of warm model servers: started on demand or prewarmed, shared, and removed when idle or dead."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from threading import Condition, Event, Thread, current_thread
from typing import Final

from straightline.contracts import ModelSpec
from straightline.support.event_log import EventLogger
from workers.containers.policy import scaling
from workers.containers.policy.scaling import ModelKey
from workers.containers.pool.cold_start import start_server
from workers.containers.pool.diagnosis import exit_fault
from workers.containers.pool.driver import Driver
from workers.containers.pool.warm_server import Lease, Slot, WarmServer
from workers.protocol.errors import BackendFault

_CLOSE_TIMEOUT_S: Final = 15.0
"""How long `close` waits for each pending start to notice it."""
_RETRY_INTERVAL_S: Final = 30.0
"""Delay after a failed start before a server that no request waits for is started again."""
_log = EventLogger(__name__)


class WarmPool:
    """Servers by version of a model, as many as its `[warm]` says, else one; `max_servers` in all.

    Requests for a model that is starting share that start. If all servers of a model are busy and it may have
    more, another is started, and no request waits for it. If the pool is full, the longest unused server is
    evicted; if all are in use, the request waits. `sweep` starts prewarmed servers, which are never idle.

    Args:
        driver: starts servers.
        max_servers: number that may exist at once, servers under removal included.
        idle_timeout: seconds without a request after which a server is removed; a model may have its own.
        start_timeout: seconds for a server to become ready.
        busy: number of requests from which a server counts as busy.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        driver: Driver,
        *,
        max_servers: int,
        idle_timeout: float,
        start_timeout: float,
        busy: int = 4,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._driver = driver
        self._max_servers = max_servers
        self._idle_timeout = idle_timeout
        self._start_timeout = start_timeout
        self._busy = busy
        self._clock = clock
        self._changed = Condition()
        self._slots: list[Slot] = []
        self._prewarmed: dict[ModelKey, ModelSpec] = {}
        self._retry_at: dict[ModelKey, float] = {}  # after a failed start, for starts without a request
        self._removing = 0
        self._starts: set[Thread] = set()
        self._stopping = Event()
        self._is_removed: Callable[[ModelKey], bool] = lambda _: False

    def set_removed_versions(self, is_removed: Callable[[ModelKey], bool]) -> None:
        """Let `sweep` remove unused servers of removed versions before their idle timeout."""
        self._is_removed = is_removed

    def prewarm(self, models: Iterable[ModelSpec]) -> None:
        """Keep `warm.minimum` servers of each of these models running, and of no other model."""
        with self._changed:
            self._prewarmed = {(model.name, model.version): model for model in models}

    @contextmanager
    def lease(self, model: ModelSpec, timeout: float) -> Iterator[Lease]:
        """Hold a ready server of `model` for one call; it is not removed as idle meanwhile.

        Raises:
            BackendFault: `no_capacity` if the pool stayed full for `timeout` seconds, `cold_start_timed_out`
                if the server was not ready in that time (its start continues for later requests), or the
                fault of the start.
        """
        deadline = self._clock() + timeout
        slot, cold = self._enter(model, deadline)
        entered = self._clock()
        try:
            try:
                warm = slot.started.result(timeout=max(0.0, deadline - self._clock()))
            except TimeoutError:
                raise BackendFault(
                    f"{model.name} {model.version} was still starting after the request's {timeout:.3g} s",
                    error_class="cold_start_timed_out",
                    cold_start=self._clock() - entered,
                ) from None
            except BackendFault as fault:
                # A copy for each waiting thread: a shared exception would mix their tracebacks.
                raise BackendFault(
                    str(fault), error_class=fault.error_class, cold_start=self._clock() - entered
                ) from fault
            yield Lease(warm, self._clock() - entered if cold else None)
        finally:
            self._leave(slot)

    def discard(self, warm: WarmServer) -> None:
        """Remove a lost server; the next request starts another. Idempotent."""
        with self._changed:
            slot = next((slot for slot in self._slots if slot.warm is warm), None)
            if slot is None:
                return
            self._take_out(slot)
        self._remove(warm)

    def sweep(self) -> None:
        """Remove idle and dead servers, and start the prewarmed ones that are missing."""
        self._remove_idle()
        with self._changed:
            ready = [slot.warm for slot in self._slots if slot.warm is not None]
        for warm in ready:
            ended = warm.server.exit()
            if ended is not None:
                _log.warning(
                    "server_exited", server=warm.server.title, error=exit_fault(warm.server.title, ended)
                )
                self.discard(warm)
        with self._changed:
            for model in scaling.models_to_start(self._slots, self._prewarmed.values(), self._free()):
                self._start_in_background(model)

    def size(self) -> int:
        """Return the number of servers, in any state."""
        with self._changed:
            return len(self._slots) + self._removing

    def users(self, model: ModelSpec) -> int:
        """Return the number of requests that wait for a server of that model or use one."""
        with self._changed:
            return sum(slot.users for slot in self._slots_of(model))

    def close(self) -> None:
        """Remove all servers and start no more; idempotent."""
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

    def _remove_idle(self) -> None:
        with self._changed:
            now = self._clock()
            idle = scaling.idle_slots(self._slots, self._prewarmed, self._idle_timeout, now)
            idle += [
                slot
                for slot in self._slots
                if slot.unused and self._is_removed(slot.key) and slot not in idle
            ]
            for slot in idle:
                self._take_out(slot)
        for slot in idle:
            if slot.warm is not None:
                why = (
                    "its version was removed"
                    if self._is_removed(slot.key)
                    else f"it was idle for {now - slot.last_used:g} s"
                )
                _log.info("server_removed", server=slot.warm.server.title, reason=why)
                self._remove(slot.warm)

    def _enter(self, model: ModelSpec, deadline: float) -> tuple[Slot, bool]:
        """Register a user on one of the model's slots; also return whether it must wait for a start."""
        while True:
            with self._changed:
                if self._stopping.is_set():
                    raise BackendFault("this worker stops", error_class="unreachable")
                own = self._slots_of(model)
                slot = scaling.least_used(own)
                if slot is None and self._free():
                    slot = self._start(model)
                elif self._free() and scaling.should_scale_out(own, model, self._busy):
                    self._start_in_background(model)
                if slot is not None:
                    slot.users += 1
                    return slot, not slot.ready
                evicted = scaling.eviction_candidate(self._slots, self._prewarmed)
                if evicted is None:
                    self._await_free_slot(deadline)
                    continue
                self._take_out(evicted)
            if evicted.warm is not None:
                _log.info(
                    "server_evicted",
                    server=evicted.warm.server.title,
                    model=model.name,
                    version=model.version,
                )
                self._remove(evicted.warm)

    def _await_free_slot(self, deadline: float) -> None:
        left = deadline - self._clock()
        if left <= 0:
            raise BackendFault(
                f"all {self._max_servers} containers are in use: raise STRAIGHTLINE_CONTAINER_MAX",
                error_class="no_capacity",
            )
        self._changed.wait(left)

    def _free(self) -> int:
        if self._stopping.is_set():
            return 0
        return max(0, self._max_servers - len(self._slots) - self._removing)

    def _slots_of(self, model: ModelSpec) -> list[Slot]:
        return [slot for slot in self._slots if slot.key == (model.name, model.version)]

    def _start_in_background(self, model: ModelSpec) -> None:
        """Start a server that no request waits for, unless a start failed a short time ago."""
        if self._retry_at.get((model.name, model.version), 0.0) <= self._clock():
            with suppress(BackendFault):  # no thread is available: the next sweep tries again
                self._start(model)

    def _start(self, model: ModelSpec) -> Slot:
        slot = Slot(model, self._clock())
        self._slots.append(slot)
        # Its own thread, because the start outlives the request that caused it, for later requests.
        start = Thread(target=self._run_start, args=(slot, model), name=f"start-{model.name}", daemon=True)
        try:
            start.start()
        except RuntimeError as error:  # the system is out of threads
            self._slots.remove(slot)
            raise BackendFault(f"cannot start a server: {error}", error_class="no_capacity") from error
        self._starts.add(start)
        return slot

    def _run_start(self, slot: Slot, model: ModelSpec) -> None:
        began = self._clock()
        try:
            warm = start_server(self._driver, model, self._start_timeout, self._stopping)
        # Whatever went wrong, the waiting requests must get it.
        except Exception as error:  # noqa: BLE001
            fault = _as_fault(error)
            self._retry_at[slot.key] = self._clock() + _RETRY_INTERVAL_S
            if not self._settle(slot, None) and not slot.users:
                name, version = slot.key
                _log.warning("server_not_prewarmed", model=name, version=version, error=fault)
            slot.started.set_exception(fault)
            return
        if self._settle(slot, warm):
            _log.info("server_ready", server=warm.server.title, start_s=round(self._clock() - began, 3))
            slot.started.set_result(warm)
        else:
            warm.remove()
            slot.started.set_exception(BackendFault("this worker stops", error_class="unreachable"))

    def _settle(self, slot: Slot, warm: WarmServer | None) -> bool:
        """Put the server in its slot; return False if its start failed or the pool closes."""
        with self._changed:
            self._starts.discard(current_thread())
            kept = warm is not None and not self._stopping.is_set()
            if kept:
                slot.warm, slot.last_used = warm, self._clock()
                self._retry_at.pop(slot.key, None)
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
        self._removing += 1

    def _remove(self, warm: WarmServer) -> None:
        try:
            warm.remove()
        finally:
            with self._changed:
                self._removing -= 1
                self._changed.notify_all()


def _as_fault(error: Exception) -> BackendFault:
    if isinstance(error, BackendFault):
        return error
    _log.error("server_start_failed", raised=error)
    return BackendFault(f"the server could not be started: {error!r}", error_class="internal")
