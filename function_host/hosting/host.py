"""The function host: runs invocations on instances, and starts, reaps and replaces instances."""

import dataclasses
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec

from function_host.hosting import pool as pools
from function_host.hosting.errors import NotReady, Throttled, UnknownFunction
from function_host.hosting.warmer import Warmer
from function_host.hosting.watcher import Watcher
from function_host.instances.channel import InitFailed, InstanceGone
from function_host.instances.instance import Instance
from function_host.instances.invocation import Event, InvocationResult, invoke
from function_host.names import arn
from function_host.packages import Function, find_function
from straightline.errors import ConfigurationError
from straightline.support.event_log import EventLogger

_log = EventLogger(__name__)


_RAISE_LIMIT_HINT: Final = (
    "Raise its limit, or the host's (STRAIGHTLINE_FUNCTIONS_FUNCTION_CONCURRENCY, "
    "STRAIGHTLINE_FUNCTIONS_CONCURRENCY)"
)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the host.

    Attributes:
        per_function: instances of one function.
        total: instances of all functions.
        idle: seconds that an unused instance is kept.
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
    """Runs functions on demand. Thread-safe."""

    def __init__(self, packages: Path, limits: Limits) -> None:
        """Start without instances.

        Args:
            packages: directory of function packages.
            limits: limits of the host.
        """
        self.packages = packages
        self._limits = limits
        self._lock = threading.Lock()
        self._empty = threading.Condition(self._lock)
        self._pool = pools.Pool(per_function=limits.per_function, total=limits.total)
        self._instances: dict[int, Instance] = {}  # until their process has been reaped
        self._stopping = threading.Event()
        # PR_SET_PDEATHSIG ends an instance with the thread that started it, so one thread starts them all.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="starter")
        self._watcher = Watcher(self._on_exit, self._reap)
        self._warmer = Warmer(packages, self.prestart)

    def find(self, name: str) -> Function:
        """Return a deployed function.

        Raises:
            UnknownFunction: it is not deployed.
            ConfigurationError: its package is invalid.
        """
        function = find_function(self.packages, name)
        if function is None:
            raise UnknownFunction(f"Function not found: {arn(name)}")
        return function

    def invoke(self, name: str, event: Event) -> InvocationResult:
        """Run a function on an event and wait for the result.

        Raises:
            UnknownFunction: it is not deployed.
            Throttled: no instance is free and a limit is reached.
            ConfigurationError: its package is invalid.
            OSError: no process can be started.
        """
        function = self.find(name)
        while True:
            acquired = self._acquire(function)
            result = None
            try:
                init_limit = self._limits.init if acquired.cold else None
                result = invoke(acquired.instance, event, arn(name), init_limit=init_limit)
            finally:
                self._release(acquired.instance, usable=result is not None and result.usable)
            if result is not None:  # else a warm instance had ended before it read the event
                return result

    def prestart(self, function: Function) -> bool:
        """If a function has fewer instances than its minimum, start one and wait until it is ready.

        Returns:
            True if nothing is left to start.

        Raises:
            NotReady: the instance did not become ready, or a limit is below the minimum.
        """
        with self._lock:
            if self._stopping.is_set():
                return True
            number = self._pool.prestart(_key(function), function.minimum, function.maximum)
        if number is None:
            if function.minimum > self.max_instances(function):
                raise NotReady(
                    f"{function.name} cannot have its minimum of {function.minimum} instances: its limit is "
                    f"{self.max_instances(function)}. {_RAISE_LIMIT_HINT}"
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
        """Return the limit of instances of a function."""
        of_host = min(self._limits.per_function, self._limits.total)
        return of_host if function.maximum is None else min(of_host, function.maximum)

    def ready_count(self, function: Function) -> int:
        """Count the initialised instances of the current deployment of a function."""
        with self._lock:
            return sum(
                each.function.revision == function.revision and _initialised(each)
                for each in self._instances.values()
                if each.function.name == function.name
            )

    def close(self) -> None:
        """End all instances and wait for their processes."""
        with self._lock:
            self._stopping.set()
            for instance in self._instances.values():
                instance.kill()
        self._warmer.close()  # an instance that it is starting is killed too
        with self._lock:
            self._empty.wait_for(lambda: not self._instances, timeout=5)
        self._watcher.stop()
        self._starter.shutdown()

    def _acquire(self, function: Function) -> _Acquired:
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
        _log.info("instance_started", function=function.name, instance=instance.number)
        return instance

    def _release(self, instance: Instance, *, usable: bool) -> None:
        with self._lock:
            if usable:
                self._pool.release(instance.number, time.monotonic())
            else:
                instance.kill()
                self._pool.remove(instance.number)

    def _on_exit(self, instance: Instance) -> None:
        """Remove an instance whose process has ended; called by the watcher."""
        gone = instance.wait()
        _log.info(
            "instance_ended", function=instance.function.name, instance=instance.number, status=gone.status
        )
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
    return ready.done() and ready.exception() is None  # a failed start is done, too


def _key(function: Function) -> pools.FunctionKey:
    return pools.FunctionKey(function.name, function.revision)
