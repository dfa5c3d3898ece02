"""Which instance takes an invocation: pure state, no clock, no process; time is an argument.

The rules are Lambda's: one invocation at a time in an instance, a warm one before a new one, a new one up to
the limits, and beyond them the invocation is throttled.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable
from typing import Final, Literal

ThrottleReason = Literal[
    "ReservedFunctionConcurrentInvocationLimitExceeded", "ConcurrentInvocationLimitExceeded"
]

FUNCTION_LIMIT: Final[ThrottleReason] = "ReservedFunctionConcurrentInvocationLimitExceeded"
TOTAL_LIMIT: Final[ThrottleReason] = "ConcurrentInvocationLimitExceeded"


@dataclasses.dataclass(frozen=True)
class FunctionKey:
    """A function as it was deployed: after a new deployment the old one's instances take nothing more."""

    function: str
    revision: str


@dataclasses.dataclass(frozen=True)
class Reuse:
    """Invoke this warm instance."""

    instance: int


@dataclasses.dataclass(frozen=True)
class Start:
    """Start this instance and invoke it; stop those of `evicted`, which it takes the place of."""

    instance: int
    evicted: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Throttle:
    """Refuse: the limit named by `reason` is reached."""

    reason: ThrottleReason


@dataclasses.dataclass(frozen=True)
class Retention:
    """So many instances of a function stay though unused, and the others for so many seconds."""

    minimum: int
    idle: float


@dataclasses.dataclass
class _Instance:
    key: FunctionKey
    idle_since: float | None = None


class Pool:
    """The instances of a host and what each is doing. Not thread-safe: its owner holds a lock."""

    def __init__(self, *, per_function: int, total: int) -> None:
        """Make an empty pool.

        Args:
            per_function: instances that one function may have.
            total: instances that all functions together may have.
        """
        self._per_function = per_function
        self._total = total
        self._instances: dict[int, _Instance] = {}
        self._next = 1

    def acquire(self, key: FunctionKey, most: int | None = None) -> Reuse | Start | Throttle:
        """Decide who takes an invocation of `key`; that instance is busy from now on.

        Args:
            key: the function.
            most: instances that it may have itself; None leaves it to the pool's limit.
        """
        idle = [
            number
            for number, each in self._instances.items()
            if each.key == key and each.idle_since is not None
        ]
        if idle:
            # The one used last: so those that are not needed grow old and are reaped.
            number = max(idle, key=self._idle_since)
            self._instances[number].idle_since = None
            return Reuse(number)
        evicted = self._make_room(key, most)
        if not isinstance(evicted, tuple):
            return Throttle(evicted)
        for number in evicted:
            del self._instances[number]
        return Start(self._add(key), evicted)

    def prestart(self, key: FunctionKey, least: int, most: int | None = None) -> int | None:
        """Return a new instance, busy with its start, where `key` has fewer than `least`; None where not.

        None makes room for it: it is there for those who come, and some have come to the others.
        """
        there = sum(each.key == key for each in self._instances.values())
        full = self.count(key.function) >= self._most(most) or self.count() >= self._total
        return None if there >= least or full else self._add(key)

    def release(self, instance: int, now: float) -> None:
        """Note that an instance has answered, and is free since `now`."""
        if instance in self._instances:
            self._instances[instance].idle_since = now

    def remove(self, instance: int) -> None:
        """Forget an instance that is gone; its place is free."""
        self._instances.pop(instance, None)

    def reap(self, now: float, stay: Callable[[FunctionKey], Retention]) -> list[int]:
        """Forget the instances that were idle too long and are more than is to stay, and return them."""
        idle = [number for number, each in self._instances.items() if each.idle_since is not None]
        there = Counter(each.key for each in self._instances.values())
        stays = {key: stay(key) for key in {self._instances[number].key for number in idle}}
        old = []
        for number in sorted(idle, key=self._idle_since):
            key = self._instances[number].key
            if self._idle_since(number) <= now - stays[key].idle and there[key] > stays[key].minimum:
                there[key] -= 1
                del self._instances[number]
                old.append(number)
        return old

    def count(self, function: str | None = None) -> int:
        """Return how many instances there are, of one function or of all."""
        return sum(function in (None, each.key.function) for each in self._instances.values())

    def _add(self, key: FunctionKey) -> int:
        number, self._next = self._next, self._next + 1
        self._instances[number] = _Instance(key)
        return number

    def _most(self, own: int | None) -> int:
        return self._per_function if own is None else min(own, self._per_function)

    def _make_room(self, key: FunctionKey, most: int | None) -> tuple[int, ...] | ThrottleReason:
        """Return the idle instances to stop for a new one of `key`, or the limit that stands against it."""
        evicted: tuple[int, ...] = ()
        if self.count(key.function) >= self._most(most):
            # Idle ones of the same function can only be of an older deployment here.
            oldest = self._oldest_idle(key.function)
            if oldest is None:
                return FUNCTION_LIMIT
            evicted = (oldest,)
        if self.count() - len(evicted) >= self._total:
            oldest = self._oldest_idle(None)
            if oldest is None:
                return TOTAL_LIMIT
            evicted = (*evicted, oldest)
        return evicted

    def _oldest_idle(self, function: str | None) -> int | None:
        idle = [
            number
            for number, each in self._instances.items()
            if each.idle_since is not None and function in (None, each.key.function)
        ]
        return min(idle, key=self._idle_since, default=None)

    def _idle_since(self, number: int) -> float:
        return self._instances[number].idle_since or 0.0
