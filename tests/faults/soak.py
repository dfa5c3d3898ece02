"""`script/soak`: inject random faults under mixed load; report the oracle's result and growing memory."""

import argparse
import re
import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import Final

from script.support.processes import Process
from tests.faults.harness.chaos import Action, ActionKind, plan_actions
from tests.faults.harness.fault_case import FaultCase, TableRow
from tests.faults.harness.fault_stack import FaultStack
from tests.faults.harness.load import Mix
from tests.faults.harness.memory_growth import ProcessSamples, analyze, failures, summary
from tests.faults.harness.memory_sampler import MemorySampler
from tests.faults.harness.oracle import Allowance
from tests.faults.harness.termination import Termination

MIX: Final = Mix(rate=20, confirm=120, deadline=600, commands=("echo",) * 9 + ("sleep:0.2",))
MAX_SURPLUS_PER_ACTION: Final = 64
"""Repeated executions that one action may cause: the requests in flight."""
MIN_JUDGED_MINUTES: Final = 30.0
"""Length of a soak in which every process runs long enough to be evaluated."""
MIB: Final = 1024 * 1024
OUTCOME_TIMEOUT_S: Final = 120.0


def main() -> int:
    """Run the soak; return 0 if all invariants hold and memory is flat."""
    parser = argparse.ArgumentParser(prog="script/soak", description=__doc__)
    parser.add_argument(
        "--minutes", type=float, default=30.0, help="length of the soak in minutes (default 30)"
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=1,
        help="seed of the plan; the same seed gives the same actions (default 1)",
    )
    options = parser.parse_args()
    print("Starting the stack ...")
    stack = FaultStack.open()
    try:
        return _soak(stack, options.minutes, options.seed)
    finally:
        stack.close()


def _soak(stack: FaultStack, minutes: float, seed: int) -> int:
    ours = [name for name in stack.supervisor.names if name != "flower"]
    plan = plan_actions(seed, minutes, ours)
    memory = MemorySampler(lambda: _watched(stack), stack.run.directory / "logs" / "memory.csv")
    case = FaultCase(stack, TableRow("soak"))
    began = time.monotonic()
    done: Counter[str] = Counter()
    with case.load(MIX, seed=seed) as load:
        for act in plan:
            time.sleep(max(0.0, began + act.at - time.monotonic()))
            print(f"{time.monotonic() - began:7.1f} s  {act.target} {act.kind.value}", flush=True)
            _do(stack, act)
            done[act.target] += act.kind in (ActionKind.KILL, ActionKind.TERMINATE)
        time.sleep(max(0.0, began + minutes * 60 - time.monotonic()))
        record = load.stop()
    case.fault_over()
    processes = memory.close()
    verdict, violated = "All invariants hold.", False
    try:
        case.check(
            bound=OUTCOME_TIMEOUT_S,
            # An exit that the plan did not cause is a violation.
            allowed=Allowance(surplus=MAX_SURPLUS_PER_ACTION * len(plan), each=8, restarts=done),
        )
    except AssertionError as error:
        verdict, violated = f"Invariants VIOLATED:\n{error}", True
    line = case.line
    print(
        f"\n{len(plan)} actions with seed {seed} in {minutes:g} minutes: {line.requests} requests confirmed,"
        f" {sum(record.refused.values())} refused, {line.lost} lost, {line.duplicated} duplicated,"
        f" {line.surplus} run twice, {line.repeated} notified again; all answered"
        f" {line.recovery or 0.0:.1f} s after the end."
        f"\n{verdict}"
    )
    return int(not _memory_is_flat(processes, minutes=minutes, ours=ours) or violated)


def _do(stack: FaultStack, act: Action) -> None:
    supervisor, broker, database = stack.supervisor, stack.broker, stack.database
    match act.kind:
        case ActionKind.KILL:
            supervisor.kill(act.target, Termination.SIGKILL_SESSION)
        case ActionKind.TERMINATE:
            supervisor.kill(act.target, Termination.SIGTERM)
        case ActionKind.FREEZE:
            with supervisor.frozen(act.target):
                time.sleep(act.duration)
        case ActionKind.STOP:
            supervisor.stop(act.target)
            time.sleep(act.duration)
            supervisor.start(act.target)
        case ActionKind.BROKER_APPLICATION:
            broker.ctl("stop_app")
            time.sleep(act.duration)
            broker.ctl("start_app")
        case ActionKind.BROKER_KILL:
            broker.kill()
            time.sleep(act.duration)
            broker.start()
        case ActionKind.BROKER_CONNECTIONS:
            broker.ctl("close_all_connections", "closed by the soak")
        case ActionKind.DATABASE_STOP:
            database.stop()
            time.sleep(act.duration)
            database.start()


def _watched(stack: FaultStack) -> Mapping[str, Process]:
    down = stack.supervisor.changed()
    ours = {name: stack.supervisor.process(name) for name in stack.supervisor.names if name not in down}
    return {**ours, "broker": stack.broker.process, "database": stack.database.process}


def _memory_is_flat(processes: list[ProcessSamples], *, minutes: float, ours: list[str]) -> bool:
    reports = analyze(each for each in processes if re.split("[:,]", each.name)[0] in ours)
    print(f"\n{'process':36} count {'watched':>9} {'first':>9} {'last':>9} {'in 30 min':>9}")
    for each in reports:
        sizes = (
            f"{each.first / MIB:5.1f} MiB {each.last / MIB:5.1f} MiB {each.growth:+9.1%}"
            if each.first
            else 29 * " "
        )
        print(f"{each.name:36} {each.count:5} {each.minutes:5.1f} min {sizes}  {each.verdict.value}")
    # Short-lived children, such as function instances, need not run for long.
    lasting = [*ours, *(each.name for each in reports if ":" not in each.name and each.name not in ours)]
    found = failures(reports, lasting=lasting if minutes >= MIN_JUDGED_MINUTES else [])
    print("\n".join(found) if found else summary(reports))
    return not found


if __name__ == "__main__":
    sys.exit(main())
