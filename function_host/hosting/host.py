"""The function host: finds the function, takes or starts an instance of it, and sees to all instances."""

import dataclasses
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec

from function_host.hosting import pool as pools
from function_host.hosting.warmer import Warmer
from function_host.hosting.watcher import Watcher
from function_host.instances.channel import InitFailed, InstanceGone
from function_host.instances.instance import Instance
from function_host.instances.invocation import Event, InvocationResult, invoke
from function_host.packages import Function, find_function
from straightline.errors import ConfigurationError, StraightLineError

_log = logging.getLogger(__name__)


class UnknownFunction(StraightLineError):  # noqa: N818 - it reads as what the caller asked for
    """No function of this name is deployed."""


class Throttled(StraightLineError):  # noqa: N818
    """A limit on instances is reached.

    Attributes:
        reason: which, in Lambda's words.
    """

    def __init__(self, reason: pools.ThrottleReason) -> None:
        super().__init__("Rate Exceeded.")
        self.reason = reason


class NotReady(StraightLineError):  # noqa: N818
    """An instance that was to stand ready does not become so."""


_RAISE_LIMIT_HINT: Final = (
    "raise its limit, or the host's (STRAIGHTLINE_FUNCTIONS_FUNCTION_CONCURRENCY, "
    "STRAIGHTLINE_FUNCTIONS_CONCURRENCY)"
)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the host may use.

    Attributes:
        per_function: instances of one function.
        total: instances of all.
        idle: seconds that an instance stays warm unused.
        init: seconds that a cold start may take.
    """

    per_function: int = 4
    total: int = 8
    idle: float = 60.0
    init: float = 10.0


@dataclasses.dataclass(frozen=True)
class _Acquired:
    instance: Instance
    cold: bool


class Host:
    """Runs functions on demand; safe to use from several threads."""

    def __init__(self, packages: Path, limits: Limits) -> None:
        """Start with no instance.

        Args:
            packages: the directory of function packages.
            limits: what it may use.
        """
        self.packages = packages
        self._limits = limits
        self._lock = threading.Lock()
        self._empty = threading.Condition(self._lock)
        self._pool = pools.Pool(per_function=limits.per_function, total=limits.total)
        self._instances: dict[int, Instance] = {}  # until their process is cleared away
        self._stopping = threading.Event()
        # The kernel ends an instance with the *thread* that started it; this one lives as long as the host.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="starter")
        self._watcher = Watcher(self._on_exit, self._reap)
        self._warmer = Warmer(packages, self.prestart)

    def find(self, name: str) -> Function:
        """Return a function that is deployed.

        Raises:
            UnknownFunction: it is not.
            ConfigurationError: its package is broken.
        """
        function = find_function(self.packages, name)
        if function is None:
            raise UnknownFunction(f"Function not found: {arn(name)}")
        return function

    def invoke(self, name: str, event: Event) -> InvocationResult:
        """Run a function's handler on an event and wait for what comes of it.

        Raises:
            UnknownFunction: it is not deployed.
            Throttled: no instance is free and no more may be started.
            ConfigurationError: its package is broken.
            OSError: no process can be started.
        """
        function = self.find(name)
        while True:
            taken = self._take(function)
            answer = None
            try:
                init_limit = self._limits.init if taken.cold else None
                answer = invoke(taken.instance, event, arn(name), init_limit=init_limit)
            finally:
                self._release(taken.instance, usable=answer is not None and answer.usable)
            if answer is not None:  # else a warm instance had ended before the event reached it
                return answer

    def prestart(self, function: Function) -> bool:
        """Start one more instance where a function has fewer than its minimum, and wait until it is ready.

        Returns:
            whether it has its minimum now, or cannot have more.

        Raises:
            NotReady: one was started and did not become ready.
        """
        with self._lock:
            if self._stopping.is_set():
                return True
            number = self._pool.prestart(_key(function), function.minimum, function.maximum)
        if number is None:
            if function.minimum > self.max_instances(function):
                raise NotReady(
                    f"{function.name} is to have {function.minimum} instances ready, and may have "
                    f"{self.max_instances(function)}: {_RAISE_LIMIT_HINT}"
                )
            return True
        instance = self._start(function, number)
        try:
            instance.channel.ready.result(self._limits.init)
        except (TimeoutError, InitFailed, InstanceGone) as error:
            self._release(instance, usable=False)
            raise NotReady(f"an instance of {function.name} did not become ready: {error}") from error
        self._release(instance, usable=True)
        return False

    def max_instances(self, function: Function) -> int:
        """Return how many instances a function may have."""
        of_host = min(self._limits.per_function, self._limits.total)
        return of_host if function.maximum is None else min(of_host, function.maximum)

    def ready_count(self, function: Function) -> int:
        """Count the instances of a function, as it is deployed now, that are initialised."""
        with self._lock:
            return sum(
                each.function.revision == function.revision and _initialised(each)
                for each in self._instances.values()
                if each.function.name == function.name
            )

    def close(self) -> None:
        """End every instance, and wait until their processes are gone."""
        with self._lock:
            self._stopping.set()
            for instance in self._instances.values():
                instance.kill()
        self._warmer.close()  # what it has just started is killed, too
        with self._lock:
            self._empty.wait_for(lambda: not self._instances, timeout=5)
        self._watcher.stop()
        self._starter.shutdown()

    def _take(self, function: Function) -> _Acquired:
        with self._lock:
            if self._stopping.is_set():
                raise Throttled(pools.TOTAL_LIMIT)
            decision = self._pool.acquire(_key(function), function.maximum)
            if isinstance(decision, pools.Throttle):
                raise Throttled(decision.reason)
            if isinstance(decision, pools.Reuse):
                return _Acquired(self._instances[decision.instance], cold=False)
            for number in decision.evicted:
                self._instances[number].kill()
        return _Acquired(self._start(function, decision.instance), cold=True)

    def _start(self, function: Function, number: int) -> Instance:
        try:
            instance = self._starter.submit(Instance, function, number).result()
        except BaseException:
            with self._lock:
                self._pool.remove(number)
            raise
        with self._lock:
            self._instances[instance.number] = instance
            if self._stopping.is_set():
                instance.kill()
        self._watcher.add(instance)
        _log.info("%s: instance %d started", function.name, instance.number)
        return instance

    def _release(self, instance: Instance, *, usable: bool) -> None:
        with self._lock:
            if usable:
                self._pool.release(instance.number, time.monotonic())
            else:
                instance.kill()
                self._pool.remove(instance.number)

    def _on_exit(self, instance: Instance) -> None:
        """Clear away an instance whose process ended; called by the watcher."""
        gone = instance.wait()
        _log.info("%s: instance %d is gone: %s", instance.function.name, instance.number, gone.status)
        with self._lock:
            self._pool.remove(instance.number)
            del self._instances[instance.number]
            if not self._instances:
                self._empty.notify_all()

    def _reap(self) -> None:
        with self._lock:
            for number in self._pool.reap(time.monotonic(), self._retention):
                self._instances[number].kill()

    def _retention(self, key: pools.FunctionKey) -> pools.Retention:
        try:
            function = find_function(self.packages, key.function)
        except ConfigurationError:
            function = None
        if function is None or function.revision != key.revision:
            return pools.Retention(0, self._limits.idle)
        return pools.Retention(function.minimum, function.idle or self._limits.idle)


def _initialised(instance: Instance) -> bool:
    ready = instance.channel.ready
    return ready.done() and ready.exception() is None  # a start that failed is done, too


def _key(function: Function) -> pools.FunctionKey:
    return pools.FunctionKey(function.name, function.revision)


def arn(name: str) -> str:
    """Return the ARN of a function of this host."""
    return f"arn:aws:lambda:local:000000000000:function:{name}"
