"""The private stack of the suite: broker, database, our processes with a standby scheduler, and one model."""

import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, Self

import pika.exceptions
from sqlalchemy.engine import make_url

from script.stack.processes import readiness_probes
from script.stack.processes.components import Component, components
from script.stack.processes.plan import Plan, Thresholds, with_ports
from script.stack.services.ports import accepts
from script.support.run import Run
from straightline import names
from tests.faults.harness import mind
from tests.faults.harness.crew import Crew
from tests.faults.harness.node import Node
from tests.faults.harness.records import Records
from tests.faults.harness.secrets import Ear

ROOT: Final = Path(__file__).resolve().parents[3]
SCHEDULERS: Final = ("scheduler", "standby")
POOLS: Final = tuple(f"pool-{backend}" for backend in names.BACKENDS)
PATIENCE: Final = 60.0
"""Seconds until everything must be ready."""
_THRESHOLDS: Final = Thresholds(F=25.0, window=2.0, D=64 * 1024)
"""So low that the suite's small load meets every rule."""
_LEADS: Final = re.compile(r"^(\S+ \S+) .*this scheduler leads", re.MULTILINE)
_CONSUMED: Final = (
    names.INTERACTIVE_QUEUE,
    names.OUTCOMES_QUEUE,
    names.DEAD_QUEUE,
    *(names.backend_queue(backend) for backend in names.BACKENDS),
)


class Scene:
    """A stack to be harmed.

    Attributes:
        run: its directory and processes.
        node, records: broker and database.
        plan: ports, secrets, settings.
        crew: our own processes, under a supervisor.
        canary: a text that is in every payload and may be nowhere else.
        executions: file in which the model logs the ids that it served.
        sent: every id that was ever sent here.
        wiring: for a component, or `*`: which port it finds in place of another.
    """

    def __init__(self) -> None:
        self.run = Run.create(ROOT / ".straightline", stays=False)
        self.canary = f"CANARY{secrets.token_hex(8)}"
        self.executions = self.run.directory / "executions.log"
        self.sent: set[str] = set()
        self.wiring: dict[str, dict[int, int]] = {}

    @classmethod
    def open(cls) -> Self:
        """Start everything and wait until it is ready."""
        scene = cls()
        try:
            scene._start()
        except BaseException:
            scene.close()
            raise
        return scene

    def close(self) -> None:
        """Stop everything and leave nothing."""
        for part in (getattr(self, "ear", None), getattr(self, "crew", None)):
            if part is not None:
                part.close()
        self.run.stop(keep_logs=ROOT / ".straightline" / "faults")

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets, which must not appear in any log, event, error or argument."""
        access = self.node.access
        ledger = self.records.server.access
        urls = (*(access.admin, ledger.admin), *access.users.values(), *ledger.users.values())
        passwords = {str(make_url(url).password) for url in urls}
        return (self.canary, *passwords, self.plan.flower_password)

    def leader(self) -> str:
        """Name the scheduler that took the lead last."""
        led: dict[str, datetime] = {}
        for name in SCHEDULERS:
            times = _LEADS.findall(self.run.log(name).read_text(encoding="utf-8"))
            if times:
                led[name] = datetime.strptime(times[-1], "%Y-%m-%d %H:%M:%S,%f")  # noqa: DTZ007 - compared only
        return max(led, key=led.__getitem__)

    def wait_for_leader(self, name: str) -> None:
        """Wait until that scheduler leads."""

        def leads() -> bool:
            return bool(self.node.ready()[names.INTERACTIVE_QUEUE][1]) and self.leader() == name

        wait_for(leads, lambda: f"{name} does not lead", PATIENCE)

    def complaint(self) -> str:
        """Say what is not ready; empty where all is."""
        down = [name for name in self.crew.names if name not in _SPARE and not self._alive(name)]
        if down:
            return f"these are down: {', '.join(down)}"
        try:
            ready = self.node.ready()
        except (pika.exceptions.AMQPError, OSError) as error:
            return f"the broker does not answer: {error!r}"
        idle = [queue for queue in _CONSUMED if not ready[queue][1]]
        if idle:
            return f"no consumer on {', '.join(idle)}"
        deaf = [port for port in (self.plan.local_port, self.plan.functions_port) if not accepts(port)]
        return f"nothing listens at {deaf}" if deaf else ""

    def wait_ready(self, patience: float = PATIENCE) -> None:
        """Wait until every component works."""
        wait_for(lambda: not self.complaint(), self.complaint, patience)

    def all_slots_free(self) -> bool:
        """Whether no pool has anything in work, once it has come to rest."""
        with readiness_probes.broker_probe(self.node.url) as broker:
            for backend in names.BACKENDS:
                wait_for(partial(broker.idle, backend), lambda: "a slot is still taken", 10)
        return True

    def declare(self) -> None:
        """Declare missing exchanges, queues and bindings."""
        self._declare(self.node)

    def heal(self) -> None:
        """Give every component its usual settings, and wait until all work."""
        for name in self.crew.changed():
            if name in _SPARE:
                self.crew.stop(name)
            else:
                self.crew.restart(name)
        self.wait_ready()

    def rewire(self, wiring: Mapping[str, dict[int, int]]) -> None:
        """Restart components so that they find other ports in place of the real ones, until it is undone."""
        with ThreadPoolExecutor(8) as pool:
            self.wiring, touched = dict(wiring), {*self.wiring, *wiring}
            list(pool.map(self.crew.restart, sorted(touched)))
        self.wait_ready()

    def _alive(self, name: str) -> bool:
        try:
            return self.crew.process(name).alive()
        except KeyError:
            return False

    def _start(self) -> None:
        models, functions = self.run.directory / "models", self.run.directory / "functions"
        functions.mkdir()
        bundle = mind.write_bundle(models, self.executions)
        with ThreadPoolExecutor(3) as pool:
            package = pool.submit(mind.write_function, bundle, functions, ROOT)
            node, records = pool.submit(self._node), pool.submit(self._records)
            self.node, self.records = node.result(), records.result()
            package.result()
        self.plan = with_ports(
            Plan(
                root=ROOT,
                run=self.run.name,
                directory=self.run.directory,
                models=models,
                broker=self.node.access,
                database=self.records.server.access,
                driver="process",
                thresholds=_THRESHOLDS,
            )
        )
        self.plan.store.mkdir()
        parts = components(self.plan)
        standby = replace(next(part for part in parts if part.name == "scheduler"), name="standby")
        self.crew = Crew(self.run, ROOT, (*parts, standby), self._environment)
        for name in self.crew.names:
            if name not in _SPARE:
                self.crew.start(name)
        self.ear = Ear(self.node.url, self.secrets)
        self.wait_ready()

    def _node(self) -> Node:
        node = Node(self.run)
        self._declare(node)
        return node

    def _declare(self, node: Node) -> None:
        self._command("broker_config", STRAIGHTLINE_BROKER_URL=node.url)

    def _records(self) -> Records:
        records = Records(self.run)
        self._command("outcomes", "migrate", **records.server.migration)
        return records

    def _command(self, *arguments: str, **variables: str) -> None:
        environment = {**os.environ, **variables, "PYTHONPATH": str(ROOT)}
        subprocess.run(
            [sys.executable, "-m", *arguments],
            check=True,
            cwd=ROOT,
            env=environment,
            timeout=120,
            capture_output=True,
        )

    def _environment(self, part: Component) -> Mapping[str, str]:
        environment = {**self.plan.environment(os.environ), **part.environment}
        for real, other in self.wiring.get(part.name, {}).items():
            pattern = re.compile(rf"\b127\.0\.0\.1:{real}\b")
            environment = {
                name: pattern.sub(f"127.0.0.1:{other}", value) for name, value in environment.items()
            }
        return environment


_SPARE: Final = ("flower",)
"""Components that only some rows start."""


def wait_for(ready: Callable[[], bool], complaint: Callable[[], str], seconds: float) -> None:
    """Poll until it is so.

    Raises:
        AssertionError: it is not so in time.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, f"after {seconds:g} s: {complaint()}"
        time.sleep(0.1)
