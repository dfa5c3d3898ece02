"""One fault case: load, a fault, its end, and the check by the oracle."""

import time
from collections import Counter
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

import pika.exceptions

from tests.faults.harness import leaks, scripted_model
from tests.faults.harness.fault_stack import FaultStack, wait_for
from tests.faults.harness.load import Load, LoadRecord, Mix
from tests.faults.harness.oracle import Allowance, Facts, recovery, violations

DRAIN_TIMEOUT_S: Final = 30.0
"""Time after the last outcome within which every queue must be empty."""
NO_COST: Final = Allowance()


@dataclass(frozen=True)
class Results:
    """Facts of a case, and its recovery in seconds; see `oracle.recovery`."""

    facts: Facts
    recovery: float

    def states(self) -> Counter[str]:
        """Count the final states of the confirmed requests."""
        outcomes = self.facts.outcomes
        return Counter(outcomes[one].state for one in self.facts.confirmed if one in outcomes)

    def error_classes(self) -> Counter[str]:
        """Count the error classes of the outcomes."""
        return Counter(end.error_class for end in self.facts.outcomes.values() if end.error_class)

    def latencies(self, ids: AbstractSet[str] | None = None) -> list[float]:
        """Return the seconds from submission to outcome, ascending."""
        wanted = self.facts.outcomes.keys() if ids is None else ids
        ends = [self.facts.outcomes[one] for one in wanted if one in self.facts.outcomes]
        return sorted(end.finished_at - end.submitted_at for end in ends if end.submitted_at is not None)


@dataclass
class TableRow:
    """One line of the table that `script/faults` prints."""

    fault: str
    requests: int = 0
    lost: int = 0
    duplicated: int = 0
    surplus: int = 0
    repeated: int = 0
    recovery: float | None = None
    verdict: str = "-"


@dataclass
class FaultCase:
    """A running fault case."""

    stack: FaultStack
    line: TableRow
    began: float = field(default_factory=time.time)
    over: float | None = None

    def __post_init__(self) -> None:
        """Record log sizes and restart counts before the fault."""
        self._logs = leaks.log_sizes(self.stack.run.directory / "logs")
        self._restarts = Counter(self.stack.supervisor.restarts)
        self._loads: list[Load] = []

    def load(self, mix: Mix | None = None, *, url: str | None = None, seed: int = 1) -> Load:
        """Create producers; they start with the `with` block and stop in `check` at the latest."""
        stack = self.stack
        load = Load(
            url or stack.broker.access.of("producer"),
            stack.plan.store.as_uri(),
            mix or Mix(),
            canary=stack.canary,
            seed=seed,
        )
        self._loads.append(load)
        return load

    def fault_over(self, at: float | None = None) -> None:
        """Mark the end of the fault, now or at time `at`; recovery and time limits count from there."""
        self.over = time.time() if at is None else at

    def wait_restarted(self, name: str, times: int = 1, seconds: float = 60.0) -> float:
        """Wait until a component was restarted `times` times in this case; return the last exit time."""
        supervisor = self.stack.supervisor
        self.wait_for(
            lambda: supervisor.restarts[name] - self._restarts[name] >= times,
            f"{name} has not exited",
            seconds,
        )
        return supervisor.ended[name]

    def wait_executed(self, load: Load) -> None:
        """Wait until the model has started a request of that load."""
        seen = scripted_model.executions(self.stack.executions).keys()
        self.wait_for(
            lambda: bool((scripted_model.executions(self.stack.executions).keys() - seen) & load.record.sent),
            "the model received no request",
        )

    def log(self, name: str) -> str:
        """Return the log of a component since the start of this case."""
        file = self.stack.run.log(name)
        return file.read_bytes()[self._logs.get(file, 0) :].decode(errors="replace")

    def wait_for(self, ready: Callable[[], bool], otherwise: str, seconds: float = 30.0) -> None:
        """Wait until `ready()` is true; fail with the message `otherwise` after `seconds`."""
        wait_for(ready, lambda: otherwise, seconds)

    def check(
        self,
        *,
        bound: float = 30.0,
        allowed: Allowance = NO_COST,
        sent: AbstractSet[str] = frozenset(),
        confirmed: AbstractSet[str] = frozenset(),
        counted: bool = True,
    ) -> Results:
        """Stop the loads, wait for their outcomes, and check the facts with the oracle.

        Args:
            bound: seconds after the end of the fault, or of the load if later, within which every confirmed
                id must have its outcome.
            allowed: what the fault may cost.
            sent, confirmed: ids in addition to those of the loads.
            counted: whether executions were logged; a fake backend logs none.

        Raises:
            AssertionError: an invariant is violated.
        """
        record = self._end_loads(sent, confirmed)
        self.stack.sent |= record.sent
        self._await_outcomes(record.confirmed, bound)
        facts = self._facts(record, counted=counted)
        results = Results(facts, recovery(facts.outcomes, self.over or time.time()))
        self._report(results)
        found = violations(facts, allowed)
        assert not found, "\n".join(found)
        return results

    def end(self) -> None:
        """Stop the loads, whatever the result."""
        for load in self._loads:
            self.stack.sent |= load.close().sent

    def _end_loads(self, sent: AbstractSet[str], confirmed: AbstractSet[str]) -> LoadRecord:
        whole = LoadRecord(set(sent), set(confirmed))
        for load in self._loads:
            record = load.stop()
            whole.sent |= record.sent
            whole.confirmed |= record.confirmed
            whole.received |= record.received
        return whole

    def _await_outcomes(self, ids: AbstractSet[str], bound: float) -> None:
        deadline = max(self.over or 0.0, time.time()) + bound
        missing = set(ids)
        while missing and time.time() < deadline:
            missing -= self.stack.database.recorded(missing)
            time.sleep(0.1)  # the oracle reports what is still missing

    def _facts(self, record: LoadRecord, *, counted: bool) -> Facts:
        stack = self.stack
        self._drain()
        dead = stack.database.dead_letters(self.began)
        depths = stack.broker.depths()
        deadline = time.monotonic() + 10
        while any(depths.values()) and time.monotonic() < deadline:
            depths = stack.broker.depths()
        ran = scripted_model.executions(stack.executions)
        restarts = stack.supervisor.restarts - self._restarts
        mine = record.sent
        return Facts(
            sent=stack.sent,
            confirmed=record.confirmed,
            outcomes=stack.database.outcomes(self.began),
            executions={one: ran[one] for one in mine if one in ran} if counted else None,
            dead=dead,
            depths=depths,
            restarts=restarts,
            leaks=self._leaks(),
            received={one: record.received[one] for one in mine if one in record.received},
        )

    def _drain(self) -> None:
        def full() -> list[str]:
            try:
                ready = self.stack.broker.ready()
            except (pika.exceptions.AMQPError, OSError) as error:
                return [repr(error)]
            return [name for name, (count, _) in ready.items() if count]

        wait_for(lambda: not full(), lambda: f"messages are left in {full()}", DRAIN_TIMEOUT_S)

    def _leaks(self) -> list[str]:
        stack = self.stack
        watched = stack.supervisor
        pids = [watched.process(name).pid for name in watched.names if name not in watched.changed()]
        return [
            *leaks.in_logs(stack.run.directory / "logs", self._logs, stack.secrets),
            *leaks.in_arguments(pids, stack.secrets),
            *stack.database.mentions(stack.canary),
            *stack.event_monitor.leaks,
        ]

    def _report(self, results: Results) -> None:
        facts = results.facts
        self.line.requests = len(facts.confirmed)
        self.line.lost = len(facts.lost)
        self.line.duplicated = len(facts.duplicated)
        self.line.surplus = facts.surplus
        self.line.repeated = facts.repeated
        self.line.recovery = results.recovery if self.over is not None else None
