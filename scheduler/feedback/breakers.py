"""The breakers of all backends, and of each model on them. Pure: time is an argument."""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from scheduler.placement.breaker import Breaker, BreakerConfig
from scheduler.placement.model import BackendState, State
from straightline.contracts.faults import BACKEND_FAULTS, MODEL_FAULTS

Key = tuple[str, str | None]


class Change(NamedTuple):
    """A breaker that opened (`why` says why) or closed (it is empty); `model` is None for a whole backend."""

    backend: str
    model: str | None
    why: str


class Breakers:
    """One breaker for each backend, and one for each model on a backend."""

    def __init__(self, rules: BreakerConfig) -> None:
        self._rules = rules
        self._breakers: dict[Key, Breaker] = {}
        self._tripped: dict[Key, Breaker] = {}
        self._changes: list[Change] = []

    def apply_to(self, state: State, model: str, now: float) -> State:
        """Return the state of the backends as a request of `model` may use them."""
        if not self._tripped:
            return state
        refusals: dict[str, BackendState] = {}
        for (backend, of), breaker in self._tripped.items():
            if of is None or of == model:
                why = breaker.refusal(now)
                if why is not None:
                    refusals[backend] = BackendState(down=why)
        return {**state, **refusals} if refusals else state

    def closed(self, backend: str, model: str) -> bool:
        """Whether a request of `model` would be an ordinary one there; else it would be a probe."""
        return (backend, None) not in self._tripped and (backend, model) not in self._tripped

    def placed(self, backend: str, model: str, request_id: str, now: float) -> bool:
        """A request was placed; returns whether it is the probe of a half-open breaker."""
        probe = False
        if self._tripped:
            for key in ((backend, None), (backend, model)):
                if key in self._tripped and self._tripped[key].passed(request_id, now):
                    probe = True
        return probe

    def answered(self, backend: str, model: str | None, request_ids: Collection[str], now: float) -> None:
        """A backend answered a call; an error of the model itself is an answer, too.

        Args:
            backend: which one.
            model: None where it is not known (the requests were placed by a scheduler before this one, or a
                connection was lost since); a probe of a model's breaker still counts there.
            request_ids: whom the call was for.
            now: seconds since the epoch.
        """
        keys = _keys(backend, model)
        if model is None:
            keys += [key for key in self._tripped if key[0] == backend and key[1] is not None]
        self._record(keys, request_ids, now, ok=True)

    def failed(
        self, backend: str, model: str | None, request_ids: Collection[str], error_class: str, now: float
    ) -> None:
        """A call failed by a fault of the backend; the arguments are those of `answered`."""
        if error_class in BACKEND_FAULTS:
            self._record(_keys(backend, model), request_ids, now, ok=False)
        elif error_class in MODEL_FAULTS:
            # It was reached, whatever became of the model there.
            self._record([(backend, None)], request_ids, now, ok=True)
            if model is not None:
                self._record([(backend, model)], request_ids, now, ok=False)

    def sync(self, backend: str, model: str | None, why: str, now: float) -> None:
        """Take the leader's word on a breaker, for when this one takes over; without a `why` it is closed."""
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
        """Return which opened and closed since the last call, in order."""
        if not self._changes:
            return []
        taken, self._changes = self._changes, []
        return taken

    def _breaker(self, key: Key) -> Breaker:
        breaker = self._breakers.get(key)
        if breaker is None:
            breaker = self._breakers[key] = Breaker(self._rules)
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


def _keys(backend: str, model: str | None) -> list[Key]:
    return [(backend, None)] if model is None else [(backend, None), (backend, model)]
