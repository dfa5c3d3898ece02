"""The pool of instances, which decides what runs an invocation.

Lambda's rules apply: an instance runs one invocation at a time, a warm instance is preferred to a new one,
and an invocation beyond the limits is throttled.
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
    """A deployment of a function. Instances of an earlier deployment get no more invocations."""

    function: str
    revision: str


@dataclasses.dataclass(frozen=True)
class Reuse:
    """Invoke this warm instance."""

    instance: int


@dataclasses.dataclass(frozen=True)
class Start:
    """Start this instance and invoke it, in place of the `evicted` ones, which must be stopped."""

    instance: int
    evicted: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Throttle:
    """Refuse the invocation: the limit `reason` is reached."""

    reason: ThrottleReason


@dataclasses.dataclass(frozen=True)
class Retention:
    """How long unused instances of a function are kept.

    Attributes:
        minimum: instances that are always kept.
        idle: seconds that the others are kept.
    """

    minimum: int
    idle: float


@dataclasses.dataclass
class _Instance:
    key: FunctionKey
    idle_since: float | None = None


class Pool:
    """The instances of a host and their states. Not thread-safe: the owner holds a lock."""

    def __init__(self, *, per_function: int, total: int) -> None:
        """Create an empty pool.

        Args:
            per_function: limit of instances of one function.
            total: limit of instances of all functions.
        """
        self._per_function = per_function
        self._total = total
        self._instances: dict[int, _Instance] = {}
        self._next = 1

    def acquire(self, key: FunctionKey, maximum: int | None = None) -> Reuse | Start | Throttle:
        """Choose the instance for an invocation of `key`, and mark it busy.

        Args:
            key: the function.
            maximum: limit of its own instances; None for the pool's limit.
        """
        idle = [
            number
            for number, each in self._instances.items()
            if each.key == key and each.idle_since is not None
        ]
        if idle:
            # The most recently used one, so that unneeded instances age and are reaped.
            number = max(idle, key=self._idle_since)
            self._instances[number].idle_since = None
            return Reuse(number)
        evicted = self._make_room(key, maximum)
        if not isinstance(evicted, tuple):
            return Throttle(evicted)
        for number in evicted:
            del self._instances[number]
        return Start(self._add(key), evicted)

    def prestart(self, key: FunctionKey, minimum: int, maximum: int | None = None) -> int | None:
        """Add an instance, busy until it is started, if `key` has fewer than `minimum` instances.

        Returns:
            Its number; None if there are enough or a limit is reached. No other instance is evicted for it.
        """
        count = sum(each.key == key for each in self._instances.values())
        full = self.count(key.function) >= self._limit(maximum) or self.count() >= self._total
        return None if count >= minimum or full else self._add(key)

    def release(self, instance: int, now: float) -> None:
        """Mark an instance as idle since `now`."""
        if instance in self._instances:
            self._instances[instance].idle_since = now

    def remove(self, instance: int) -> None:
        """Remove an instance."""
        self._instances.pop(instance, None)

    def reap(self, now: float, retention: Callable[[FunctionKey], Retention]) -> list[int]:
        """Remove instances that were idle too long and exceed the minimum, and return them."""
        idle = [number for number, each in self._instances.items() if each.idle_since is not None]
        counts = Counter(each.key for each in self._instances.values())
        rules = {key: retention(key) for key in {self._instances[number].key for number in idle}}
        old = []
        for number in sorted(idle, key=self._idle_since):
            key = self._instances[number].key
            if self._idle_since(number) <= now - rules[key].idle and counts[key] > rules[key].minimum:
                counts[key] -= 1
                del self._instances[number]
                old.append(number)
        return old

    def count(self, function: str | None = None) -> int:
        """Count the instances of one function, or of all."""
        return sum(function in (None, each.key.function) for each in self._instances.values())

    def _add(self, key: FunctionKey) -> int:
        number, self._next = self._next, self._next + 1
        self._instances[number] = _Instance(key)
        return number

    def _limit(self, own: int | None) -> int:
        return self._per_function if own is None else min(own, self._per_function)

    def _make_room(self, key: FunctionKey, maximum: int | None) -> tuple[int, ...] | ThrottleReason:
        """Return the idle instances to stop for a new one of `key`, or the limit that forbids it."""
        evicted: tuple[int, ...] = ()
        if self.count(key.function) >= self._limit(maximum):
            # An idle instance of the same function can only belong to an older deployment here.
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
