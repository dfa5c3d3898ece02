"""One row of the table: load, a fault, its end, and the judgement of the oracle."""

import time
from collections import Counter
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

import pika.exceptions

from tests.faults.harness import mind, secrets
from tests.faults.harness.load import Account, Load, Mix
from tests.faults.harness.oracle import Allowance, Facts, recovery, violations
from tests.faults.harness.scene import Scene, wait_for

DRAIN: Final = 30.0
"""Seconds after the last outcome until every queue must be empty."""
NOTHING: Final = Allowance()


@dataclass(frozen=True)
class Judged:
    """What came out: the facts, and for how many seconds the fault was felt after its end."""

    facts: Facts
    recovery: float

    def states(self) -> Counter[str]:
        """Count the final states of what was confirmed."""
        endings = self.facts.endings
        return Counter(endings[one].state for one in self.facts.confirmed if one in endings)

    def reasons(self) -> Counter[str]:
        """Count the words for what went wrong."""
        return Counter(end.error_class for end in self.facts.endings.values() if end.error_class)

    def latencies(self, ids: AbstractSet[str] | None = None) -> list[float]:
        """Return the seconds from submission to answer, in rising order."""
        wanted = self.facts.endings.keys() if ids is None else ids
        ends = [self.facts.endings[one] for one in wanted if one in self.facts.endings]
        return sorted(end.finished_at - end.submitted_at for end in ends if end.submitted_at is not None)


@dataclass
class Line:
    """A line of the table that `script/faults` prints."""

    fault: str
    requests: int = 0
    lost: int = 0
    doubled: int = 0
    surplus: int = 0
    repeated: int = 0
    recovery: float | None = None
    verdict: str = "-"


@dataclass
class Row:
    """A fault in the making."""

    scene: Scene
    line: Line
    began: float = field(default_factory=time.time)
    over: float | None = None

    def __post_init__(self) -> None:
        """Note how things were before."""
        self._logs = secrets.sizes(self.scene.run.directory / "logs")
        self._restarts = Counter(self.scene.crew.restarts)
        self._loads: list[Load] = []

    def load(self, mix: Mix | None = None, *, url: str | None = None, seed: int = 1) -> Load:
        """Make producers; they begin with the block, and `judge` ends them at the latest."""
        scene = self.scene
        load = Load(
            url or scene.node.access.of("producer"),
            scene.plan.store.as_uri(),
            mix or Mix(),
            canary=scene.canary,
            seed=seed,
        )
        self._loads.append(load)
        return load

    def fault_over(self, at: float | None = None) -> None:
        """Say that the fault has ended, now or at that time; recovery and bounds count from there."""
        self.over = time.time() if at is None else at

    def wait_restarted(self, name: str, times: int = 1, seconds: float = 60.0) -> float:
        """Wait until a component was started anew so often in this row; return when it had ended."""
        crew = self.scene.crew
        self.wait_for(
            lambda: crew.restarts[name] - self._restarts[name] >= times, f"{name} has not ended", seconds
        )
        return crew.ended[name]

    def wait_executed(self, load: Load) -> None:
        """Return right after the model has begun with a request of that load."""
        seen = mind.executions(self.scene.executions).keys()
        self.wait_for(
            lambda: bool((mind.executions(self.scene.executions).keys() - seen) & load.account.sent),
            "the model was not asked",
        )

    def log(self, name: str) -> str:
        """Return what a component has logged in this row."""
        file = self.scene.run.log(name)
        return file.read_bytes()[self._logs.get(file, 0) :].decode(errors="replace")

    def wait_for(self, ready: Callable[[], bool], otherwise: str, seconds: float = 30.0) -> None:
        """Wait until something is so; say `otherwise` where it is not so in time."""
        wait_for(ready, lambda: otherwise, seconds)

    def judge(
        self,
        *,
        bound: float = 30.0,
        allowed: Allowance = NOTHING,
        sent: AbstractSet[str] = frozenset(),
        confirmed: AbstractSet[str] = frozenset(),
        counted: bool = True,
    ) -> Judged:
        """End the load, wait for what it is owed, and hold the facts against the oracle.

        Args:
            bound: seconds after the fault's end (or the load's, where that is later) until every confirmed id
                has its outcome.
            allowed: what the fault may cost.
            sent, confirmed: ids beside those of the loads.
            counted: whether the model notes its executions; a fake backend does not.
        """
        account = self._end_loads(sent, confirmed)
        self.scene.sent |= account.sent
        self._await_outcomes(account.confirmed, bound)
        facts = self._facts(account, allowed, counted=counted)
        judged = Judged(facts, recovery(facts.endings, self.over or time.time()))
        self._report(judged)
        found = violations(facts, allowed)
        assert not found, "\n".join(found)
        return judged

    def end(self) -> None:
        """Stop the loads, whatever the result of the row."""
        for load in self._loads:
            self.scene.sent |= load.close().sent

    def _end_loads(self, sent: AbstractSet[str], confirmed: AbstractSet[str]) -> Account:
        whole = Account(set(sent), set(confirmed))
        for load in self._loads:
            account = load.stop()
            whole.sent |= account.sent
            whole.confirmed |= account.confirmed
            whole.told |= account.told
        return whole

    def _await_outcomes(self, ids: AbstractSet[str], bound: float) -> None:
        deadline = max(self.over or 0.0, time.time()) + bound
        missing = set(ids)
        while missing and time.time() < deadline:
            missing -= self.scene.records.recorded(missing)
            time.sleep(0.1)  # what is still missing is said by the oracle

    def _facts(self, account: Account, allowed: Allowance, *, counted: bool) -> Facts:
        scene = self.scene
        self._drain()
        dead = scene.records.dead_letters(self.began)
        depths = scene.node.depths()
        deadline = time.monotonic() + 10
        while any(depths.values()) and time.monotonic() < deadline:
            depths = scene.node.depths()
        ran = mind.executions(scene.executions)
        restarts = scene.crew.restarts - self._restarts
        mine = account.sent
        return Facts(
            sent=scene.sent,
            confirmed=account.confirmed,
            endings=scene.records.endings(self.began),
            executions={one: ran[one] for one in mine if one in ran} if counted else None,
            dead=dead,
            depths=depths,
            restarts=restarts,
            leaks=self._leaks(),
            told={one: account.told[one] for one in mine if one in account.told},
        )

    def _drain(self) -> None:
        def full() -> list[str]:
            try:
                ready = self.scene.node.ready()
            except (pika.exceptions.AMQPError, OSError) as error:
                return [repr(error)]
            return [name for name, (count, _) in ready.items() if count]

        wait_for(lambda: not full(), lambda: f"there are messages in {full()}", DRAIN)

    def _leaks(self) -> list[str]:
        scene = self.scene
        pids = [scene.crew.process(name).pid for name in scene.crew.names if name not in scene.crew.changed()]
        return [
            *secrets.in_logs(scene.run.directory / "logs", self._logs, scene.secrets),
            *secrets.in_arguments(pids, scene.secrets),
            *scene.records.mentions(scene.canary),
            *scene.ear.leaks,
        ]

    def _report(self, judged: Judged) -> None:
        facts = judged.facts
        self.line.requests = len(facts.confirmed)
        self.line.lost = len(facts.lost)
        self.line.doubled = len(facts.doubled)
        self.line.surplus = facts.surplus
        self.line.repeated = facts.repeated
        self.line.recovery = judged.recovery if self.over is not None else None
