"""Supervisor of our own processes: restarts whichever exits, as a deployment does."""

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from script.stack.processes.components import Component
from script.support import processes
from script.support.processes import Process
from script.support.run import Run
from tests.faults.harness.process_info import session
from tests.faults.harness.termination import Termination

POLL_INTERVAL_S: Final = 0.1
"""Interval of the liveness checks, and so the longest delay of a restart."""
STOP_TIMEOUT_S: Final = 20.0

Environment = Callable[[Component], Mapping[str, str]]


class Supervisor:
    """Run components; count and restart those that exit unasked.

    `restarts` counts the exits by name. `ended` has the time of each component's last one, at most
    `POLL_INTERVAL_S` too early.

    Args:
        run: records what is started.
        root: the checkout.
        parts: the components.
        environment: returns the whole environment of a component; called at each start.
    """

    def __init__(self, run: Run, root: Path, parts: Iterable[Component], environment: Environment) -> None:
        self._run = run
        self._root = root
        self._parts = {part.name: part for part in parts}
        self._environment = environment
        self._lock = threading.RLock()
        self._running: dict[str, Process] = {}
        self._extra: dict[str, Mapping[str, str]] = {}
        self._down: set[str] = set(self._parts)
        self._one_shot: set[str] = set()
        self._closing = threading.Event()
        self.restarts: Counter[str] = Counter()
        self.ended: dict[str, float] = {}
        self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._watcher.start()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all components."""
        return tuple(self._parts)

    def process(self, name: str) -> Process:
        """Return the running process of that name."""
        with self._lock:
            return self._running[name]

    def changed(self) -> list[str]:
        """Return the components that are down or run with settings of one test."""
        with self._lock:
            return sorted({*self._down, *(name for name, extra in self._extra.items() if extra)})

    def start(
        self, name: str, once: Mapping[str, str] | None = None, *, one_shot: bool = False, **extra: str
    ) -> Process:
        """Start a component that is down.

        Args:
            name: of the component.
            once: variables for this start only; later restarts do not have them.
            one_shot: keep it down when it exits.
            extra: additional variables, kept for restarts.
        """
        with self._lock:
            self._extra[name] = extra
            self._down.discard(name)
            self._one_shot = self._one_shot | {name} if one_shot else self._one_shot - {name}
            return self._launch(name, once or {})

    @contextlib.contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """Freeze all processes of a component's session while the block lasts."""
        leader = self.process(name)
        members = [leader, *(process for process in session(leader.pid) if process.pid != leader.pid)]
        _signal(members, signal.SIGSTOP)
        try:
            yield
        finally:
            _signal(members, signal.SIGCONT)

    def start_duplicate(self, name: str) -> Process:
        """Start a further process of a running component with the same settings, unsupervised."""
        part = self._parts[name]
        process = processes.start(
            f"{name}-second",
            part.argv,
            log=self._run.log(f"{name}-second"),
            cwd=self._root,
            environment=self._environment(part),
            tier=part.tier,
        )
        self._run.add(process)
        return process

    def stop(self, name: str, *, timeout: float = STOP_TIMEOUT_S) -> bool:
        """Stop a component and keep it down; return whether it exited within `timeout` seconds by itself."""
        with self._lock:
            process = self._keep_down(name)
        return process is None or not processes.stop([process], timeout=timeout)

    def restart(self, name: str, once: Mapping[str, str] | None = None, **extra: str) -> Process:
        """Stop a component and start it with other variables; see `start`."""
        self.stop(name)
        return self.start(name, once, one_shot=False, **extra)

    def kill(
        self, name: str, termination: Termination = Termination.SIGKILL, *, down: bool = False
    ) -> Process:
        """End a component; it is restarted unless it is to stay `down`."""
        with self._lock:
            process = self._running[name]
            if down:
                self._keep_down(name)
        termination.apply(process)
        return process

    def close(self) -> None:
        """Stop supervising; the run stops the processes."""
        self._closing.set()
        self._watcher.join(5)

    def _keep_down(self, name: str) -> Process | None:
        self._down.add(name)
        return self._running.get(name)

    def _launch(self, name: str, once: Mapping[str, str]) -> Process:
        part = self._parts[name]
        environment = {**self._environment(part), **self._extra.get(name, {}), **once}
        process = processes.start(
            name, part.argv, log=self._run.log(name), cwd=self._root, environment=environment, tier=part.tier
        )
        self._run.add(process)
        self._running[name] = process
        return process

    def _watch(self) -> None:
        while not self._closing.wait(POLL_INTERVAL_S):
            with self._lock:
                for name, process in list(self._running.items()):
                    if name not in self._down and not process.alive():
                        self._on_exit(name)

    def _on_exit(self, name: str) -> None:
        self.ended[name] = time.time() - POLL_INTERVAL_S  # it was alive then
        self.restarts[name] += 1
        if name in self._one_shot:
            self._down.add(name)
        else:
            self._launch(name, {})


def _signal(members: Iterable[Process], number: signal.Signals) -> None:
    for process in members:
        if process.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)
