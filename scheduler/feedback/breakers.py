"""The circuit breakers of all backends, and of each model on them."""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from scheduler.placement.breaker import Breaker, BreakerConfig
from scheduler.placement.model import BackendState, State
from straightline.contracts.faults import BACKEND_FAULTS, MODEL_FAULTS
from straightline.names import Backend

Key = tuple[Backend, str | None]


class Change(NamedTuple):
    """A breaker that opened, or closed if `why` is empty; `model` is None for a whole backend."""

    backend: Backend
    model: str | None
    why: str


class Breakers:
    """One breaker for each backend, and one for each model on a backend."""

    def __init__(self, config: BreakerConfig) -> None:
        self._config = config
        self._breakers: dict[Key, Breaker] = {}
        self._tripped: dict[Key, Breaker] = {}
        self._changes: list[Change] = []

    def apply_to(self, state: State, model: str, now: float) -> State:
        """Return the state with the backends down whose breakers refuse a request of `model`."""
        if not self._tripped:
            return state
        refusals: dict[Backend, BackendState] = {}
        for (backend, of), breaker in self._tripped.items():
            if of is None or of == model:
                why = breaker.refusal(now)
                if why is not None:
                    refusals[backend] = BackendState(down=why)
        return {**state, **refusals} if refusals else state

    def closed(self, backend: Backend, model: str) -> bool:
        """Whether both breakers are closed; otherwise a request of `model` would be a probe."""
        return (backend, None) not in self._tripped and (backend, model) not in self._tripped

    def placed(self, backend: Backend, model: str, request_id: str, now: float) -> bool:
        """Note that a request was placed; return whether it is the probe of a half-open breaker."""
        probe = False
        if self._tripped:
            for key in ((backend, None), (backend, model)):
                if key in self._tripped and self._tripped[key].passed(request_id, now):
                    probe = True
        return probe

    def answered(self, backend: Backend, model: str | None, request_ids: Collection[str], now: float) -> None:
        """Count an answer of a backend; an error of the model itself is an answer, too.

        Args:
            backend: the backend.
            model: None where it is not known, since an earlier scheduler placed the requests or a connection
                was lost; a probe of a model's breaker still counts for that breaker.
            request_ids: requests of the call.
            now: seconds since the epoch.
        """
        keys = _keys(backend, model)
        if model is None:
            keys += [key for key in self._tripped if key[0] == backend and key[1] is not None]
        self._record(keys, request_ids, now, ok=True)

    def failed(
        self, backend: Backend, model: str | None, request_ids: Collection[str], error_class: str, now: float
    ) -> None:
        """Count a call that failed by a fault of the backend; the arguments are those of `answered`."""
        if error_class in BACKEND_FAULTS:
            self._record(_keys(backend, model), request_ids, now, ok=False)
        elif error_class in MODEL_FAULTS:
            # The backend was reached, whatever happened to the model there.
            self._record([(backend, None)], request_ids, now, ok=True)
            if model is not None:
                self._record([(backend, model)], request_ids, now, ok=False)

    def sync(self, backend: Backend, model: str | None, why: str, now: float) -> None:
        """Copy a breaker of the leader, for a later failover; it is closed where `why` is empty."""
        key = (backend, model)
        breaker = self._breaker(key)
        breaker.sync(why, now)
        if breaker.closed:
            self._tripped.pop(key, None)
        else:
            self._tripped[key] = breaker

    def open(self) -> Mapping[Key, Breaker]:
        """Return the breakers that are not closed, by (backend, model); model None for the whole backend."""
        return self._tripped

    def changes(self) -> list[Change]:
        """Return the breakers that opened or closed since the last call, in order."""
        if not self._changes:
            return []
        taken, self._changes = self._changes, []
        return taken

    def _breaker(self, key: Key) -> Breaker:
        breaker = self._breakers.get(key)
        if breaker is None:
            breaker = self._breakers[key] = Breaker(self._config)
        return breaker

    def _record(self, keys: Iterable[Key], request_ids: Collection[str], now: float, *, ok: bool) -> None:
        for key in keys:
            breaker = self._breaker(key)
            was_closed = breaker.closed
            breaker.record(request_ids, now, ok=ok)
            if breaker.closed == was_closed:
                continue
            if was_closed:
                self._tripped[key] = breaker
            else:
                del self._tripped[key]
            self._changes.append(Change(*key, breaker.why))


def _keys(backend: Backend, model: str | None) -> list[Key]:
    return [(backend, None)] if model is None else [(backend, None), (backend, model)]
