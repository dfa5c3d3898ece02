"""Our own processes under a supervisor, which starts anew whatever ends, as a deployment does."""

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
from tests.faults.harness.deaths import Death
from tests.faults.harness.tree import session

LOOK: Final = 0.1
"""Interval of the liveness checks, and so the longest delay of a restart."""

Environment = Callable[[Component], Mapping[str, str]]


class Crew:
    """Runs components; one that ends without being asked to is counted and started anew.

    `restarts` counts that, and `ended` has when it happened last, at most `LOOK` seconds too early.

    Args:
        run: records what is started.
        root: the checkout.
        parts: the components.
        environment: asked for the whole environment of a component whenever it is started.
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
        self._mortal: set[str] = set()
        self._over = threading.Event()
        self.restarts: Counter[str] = Counter()
        self.ended: dict[str, float] = {}
        self._watcher = threading.Thread(target=self._watch, name="crew", daemon=True)
        self._watcher.start()

    @property
    def names(self) -> tuple[str, ...]:
        """Of all components."""
        return tuple(self._parts)

    def process(self, name: str) -> Process:
        """Return the running process of that name."""
        with self._lock:
            return self._running[name]

    def changed(self) -> list[str]:
        """Name the components that are down, or run with settings of one test."""
        with self._lock:
            return sorted({*self._down, *(name for name, extra in self._extra.items() if extra)})

    def start(
        self, name: str, once: Mapping[str, str] | None = None, *, mortal: bool = False, **extra: str
    ) -> Process:
        """Start a component that is down.

        Args:
            name: of the component.
            once: variables that it has this time, and not when the supervisor starts it anew.
            mortal: whether it stays down when it ends this time.
            extra: variables that it has beside its own, also when it is started anew.
        """
        with self._lock:
            self._extra[name] = extra
            self._down.discard(name)
            self._mortal = self._mortal | {name} if mortal else self._mortal - {name}
            return self._launch(name, once or {})

    @contextlib.contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """Let a component do nothing, its session whole, and know nothing of it, while the block lasts."""
        leader = self.process(name)
        whole = [leader, *(process for process in session(leader.pid) if process.pid != leader.pid)]
        _signal(whole, signal.SIGSTOP)
        try:
            yield
        finally:
            _signal(whole, signal.SIGCONT)

    def second(self, name: str) -> Process:
        """Start one more process of a component that runs, unsupervised, with the same settings."""
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

    def stop(self, name: str, *, patience: float = 20.0) -> bool:
        """Ask a component to end, and keep it down; tell whether it ended by itself."""
        with self._lock:
            process = self._keep_down(name)
        return process is None or not processes.stop([process], patience=patience)

    def restart(self, name: str, once: Mapping[str, str] | None = None, **extra: str) -> Process:
        """Stop a component and start it, with variables of its own."""
        self.stop(name)
        return self.start(name, once, mortal=False, **extra)

    def die(self, name: str, death: Death = Death.KILLED, *, down: bool = False) -> Process:
        """Let a component die; the supervisor starts it anew unless it is to stay `down`."""
        with self._lock:
            process = self._running[name]
            if down:
                self._keep_down(name)
        death.befall(process)
        return process

    def close(self) -> None:
        """Stop supervising; the run stops the processes."""
        self._over.set()
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
        while not self._over.wait(LOOK):
            with self._lock:
                for name, process in list(self._running.items()):
                    if name not in self._down and not process.alive():
                        self.ended[name] = time.time() - LOOK  # it lived then
                        self.restarts[name] += 1
                        if name in self._mortal:
                            self._down.add(name)
                        else:
                            self._launch(name, {})


def _signal(whole: Iterable[Process], number: signal.Signals) -> None:
    for process in whole:
        if process.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)
