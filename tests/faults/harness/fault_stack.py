"""Private stack of the suite: broker, database, our processes with a standby scheduler, and one model."""

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
from tests.events import logged_lines
from tests.faults.harness import scripted_model
from tests.faults.harness.broker import BrokerNode
from tests.faults.harness.database import LedgerDatabase
from tests.faults.harness.leaks import EventMonitor
from tests.faults.harness.supervisor import Supervisor

ROOT: Final = Path(__file__).resolve().parents[3]
SCHEDULERS: Final = ("scheduler", "standby")
POOLS: Final = tuple(f"pool-{backend}" for backend in names.BACKENDS)
READY_TIMEOUT_S: Final = 60.0
_THRESHOLDS: Final = Thresholds(F=25.0, window=2.0, D=64 * 1024)
"""Low enough for the suite's small load to meet every rule."""
_CONSUMED: Final = (
    names.INTERACTIVE_QUEUE,
    names.OUTCOMES_QUEUE,
    names.DEAD_QUEUE,
    *(names.backend_queue(backend) for backend in names.BACKENDS),
)


class FaultStack:
    """A stack to inject faults into.

    Attributes:
        run: its directory and processes.
        broker, database: private servers that can be stopped and started.
        plan: ports, secrets, settings.
        supervisor: runs our own processes.
        canary: a text in every payload that must appear nowhere else.
        executions: file to which the model logs the ids that it executed.
        sent: all ids sent so far.
        redirects: by component: the port that it uses in place of a real one.
    """

    def __init__(self) -> None:
        self.run = Run.create(ROOT / ".straightline", stays=False)
        self.canary = f"CANARY{secrets.token_hex(8)}"
        self.executions = self.run.directory / "executions.log"
        self.sent: set[str] = set()
        self.redirects: dict[str, dict[int, int]] = {}

    @classmethod
    def open(cls) -> Self:
        """Start the stack and wait until it is ready."""
        stack = cls()
        try:
            stack._start()
        except BaseException:
            stack.close()
            raise
        return stack

    def close(self) -> None:
        """Stop the stack; its logs are kept in `.straightline/faults`."""
        for part in (getattr(self, "event_monitor", None), getattr(self, "supervisor", None)):
            if part is not None:
                part.close()
        self.run.stop(keep_logs=ROOT / ".straightline" / "faults")

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that must not appear in any log, event, error or process argument."""
        access = self.broker.access
        ledger = self.database.server.access
        urls = (*(access.admin, ledger.admin), *access.users.values(), *ledger.users.values())
        passwords = {str(make_url(url).password) for url in urls}
        return (self.canary, *passwords, self.plan.flower_password)

    def leader(self) -> str:
        """Return the scheduler that became leader last."""
        led: dict[str, datetime] = {}
        for name in SCHEDULERS:
            times = logged_lines(self.run.log(name).read_text(encoding="utf-8"), "scheduler_leads")
            if times:
                led[name] = datetime.fromisoformat(times[-1]["ts"])
        return max(led, key=led.__getitem__)

    def wait_for_leader(self, name: str) -> None:
        """Wait until that scheduler is the leader."""

        def leads() -> bool:
            return bool(self.broker.ready()[names.INTERACTIVE_QUEUE][1]) and self.leader() == name

        wait_for(leads, lambda: f"{name} is not the leader", READY_TIMEOUT_S)

    def not_ready(self) -> str:
        """Return what is not ready; empty if all is."""
        down = [name for name in self.supervisor.names if name not in _OPTIONAL and not self._alive(name)]
        if down:
            return f"these are down: {', '.join(down)}"
        try:
            ready = self.broker.ready()
        except (pika.exceptions.AMQPError, OSError) as error:
            return f"the broker does not answer: {error!r}"
        idle = [queue for queue in _CONSUMED if not ready[queue][1]]
        if idle:
            return f"no consumer on {', '.join(idle)}"
        closed = [port for port in (self.plan.local_port, self.plan.functions_port) if not accepts(port)]
        return f"nothing listens at {closed}" if closed else ""

    def wait_ready(self, timeout: float = READY_TIMEOUT_S) -> None:
        """Wait until every component is ready."""
        wait_for(lambda: not self.not_ready(), self.not_ready, timeout)

    def all_slots_free(self) -> bool:
        """Wait until no pool has active requests; fail after 10 s."""
        with readiness_probes.broker_probe(self.broker.url) as broker:
            for backend in names.BACKENDS:
                wait_for(partial(broker.idle, backend), lambda: "a slot is still taken", 10)
        return True

    def declare(self) -> None:
        """Declare missing exchanges, queues and bindings."""
        self._declare(self.broker)

    def restore(self) -> None:
        """Restart changed components with their usual settings and wait until all are ready."""
        for name in self.supervisor.changed():
            if name in _OPTIONAL:
                self.supervisor.stop(name)
            else:
                self.supervisor.restart(name)
        self.wait_ready()

    def redirect_ports(self, redirects: Mapping[str, dict[int, int]]) -> None:
        """Restart components so that they use other ports in place of the real ones; `{}` undoes it."""
        with ThreadPoolExecutor(8) as pool:
            self.redirects, touched = dict(redirects), {*self.redirects, *redirects}
            list(pool.map(self.supervisor.restart, sorted(touched)))
        self.wait_ready()

    def _alive(self, name: str) -> bool:
        try:
            return self.supervisor.process(name).alive()
        except KeyError:
            return False

    def _start(self) -> None:
        models, functions = self.run.directory / "models", self.run.directory / "functions"
        functions.mkdir()
        bundle = scripted_model.write_bundle(models, self.executions)
        with ThreadPoolExecutor(3) as pool:
            package = pool.submit(scripted_model.write_function, bundle, functions, ROOT)
            broker, database = pool.submit(self._start_broker), pool.submit(self._start_database)
            self.broker, self.database = broker.result(), database.result()
            package.result()
        self.plan = with_ports(
            Plan(
                root=ROOT,
                run=self.run.name,
                directory=self.run.directory,
                models=models,
                broker=self.broker.access,
                database=self.database.server.access,
                driver="process",
                thresholds=_THRESHOLDS,
            )
        )
        self.plan.store.mkdir()
        parts = components(self.plan)
        standby = replace(next(part for part in parts if part.name == "scheduler"), name="standby")
        self.supervisor = Supervisor(self.run, ROOT, (*parts, standby), self._environment)
        for name in self.supervisor.names:
            if name not in _OPTIONAL:
                self.supervisor.start(name)
        self.event_monitor = EventMonitor(self.broker.url, self.secrets)
        self.wait_ready()

    def _start_broker(self) -> BrokerNode:
        broker = BrokerNode(self.run)
        self._declare(broker)
        return broker

    def _declare(self, broker: BrokerNode) -> None:
        self._command("broker_config", STRAIGHTLINE_BROKER_URL=broker.url)

    def _start_database(self) -> LedgerDatabase:
        database = LedgerDatabase(self.run)
        self._command("outcomes", "migrate", **database.server.migration)
        return database

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
        for real, other in self.redirects.get(part.name, {}).items():
            pattern = re.compile(rf"\b127\.0\.0\.1:{real}\b")
            environment = {
                name: pattern.sub(f"127.0.0.1:{other}", value) for name, value in environment.items()
            }
        return environment


_OPTIONAL: Final = ("flower",)
"""Components that only some cases start."""


def wait_for(ready: Callable[[], bool], not_ready: Callable[[], str], seconds: float) -> None:
    """Poll `ready` until it is true.

    Raises:
        AssertionError: it is not true within `seconds`; the message has `not_ready()`.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, f"after {seconds:g} s: {not_ready()}"
        time.sleep(0.1)
