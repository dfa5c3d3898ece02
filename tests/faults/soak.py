"""`script/soak`: random harm to everything under mixed load, and what came of it."""

import argparse
import re
import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import Final

from script.support.processes import Process
from tests.faults.harness.chaos import Act, Deed, acts
from tests.faults.harness.deaths import Death
from tests.faults.harness.growth import Life, faults, judge, summary
from tests.faults.harness.load import Mix
from tests.faults.harness.memory import Memory
from tests.faults.harness.oracle import Allowance
from tests.faults.harness.row import Line, Row
from tests.faults.harness.scene import Scene

MIX: Final = Mix(rate=20, confirm=120, deadline=600, commands=("echo",) * 9 + ("sleep:0.2",))
DOUBLE: Final = 64
"""Executions that one act may cost twice: what was on its way."""
LONG: Final = 30.0
"""Minutes of a soak in which every process runs for long enough to be judged."""
MIB: Final = 1024 * 1024
DRAIN: Final = 120.0


def main() -> int:
    """Run; 0 where the oracle is content and memory is flat."""
    parser = argparse.ArgumentParser(prog="script/soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1, help="the same seed does the same harm")
    asked = parser.parse_args()
    print("Starting the stack ...")
    scene = Scene.open()
    try:
        return _soak(scene, asked.minutes, asked.seed)
    finally:
        scene.close()


def _soak(scene: Scene, minutes: float, seed: int) -> int:
    ours = [name for name in scene.crew.names if name != "flower"]
    plan = acts(seed, minutes, ours)
    memory = Memory(lambda: _watched(scene), scene.run.directory / "logs" / "memory.csv")
    row = Row(scene, Line("soak"))
    began = time.monotonic()
    done: Counter[str] = Counter()
    with row.load(MIX, seed=seed) as load:
        for act in plan:
            time.sleep(max(0.0, began + act.at - time.monotonic()))
            print(f"{time.monotonic() - began:7.1f} s  {act.whom} {act.deed.value}", flush=True)
            _do(scene, act)
            done[act.whom] += act.deed in (Deed.KILL, Deed.ASK)
        time.sleep(max(0.0, began + minutes * 60 - time.monotonic()))
        account = load.stop()
    row.fault_over()
    lives = memory.close()
    verdict = "content"
    try:
        row.judge(
            bound=DRAIN,
            # A process that ended by itself beside those that were made to is one too many.
            allowed=Allowance(surplus=DOUBLE * len(plan), each=8, restarts=done),
        )
    except AssertionError as error:
        verdict = f"NOT content:\n{error}"
    line = row.line
    print(
        f"\n{len(plan)} acts with seed {seed} in {minutes:g} minutes: {line.requests} requests confirmed,"
        f" {sum(account.refused.values())} refused, {line.lost} lost, {line.doubled} doubled,"
        f" {line.surplus} run twice, {line.repeated} told again; all answered"
        f" {line.recovery or 0.0:.1f} s after the end."
        f"\nThe oracle is {verdict}"
    )
    return int(not _memory_is_flat(lives, minutes=minutes, ours=ours) or verdict != "content")


def _do(scene: Scene, act: Act) -> None:
    crew, node, records = scene.crew, scene.node, scene.records
    match act.deed:
        case Deed.KILL:
            crew.die(act.whom, Death.KILLED_WHOLE)
        case Deed.ASK:
            crew.die(act.whom, Death.ASKED)
        case Deed.FREEZE:
            with crew.frozen(act.whom):
                time.sleep(act.lasts)
        case Deed.STOP:
            crew.stop(act.whom)
            time.sleep(act.lasts)
            crew.start(act.whom)
        case Deed.BROKER_APPLICATION:
            node.ctl("stop_app")
            time.sleep(act.lasts)
            node.ctl("start_app")
        case Deed.BROKER_KILL:
            node.kill()
            time.sleep(act.lasts)
            node.start()
        case Deed.BROKER_CONNECTIONS:
            node.ctl("close_all_connections", "the soak wants it")
        case Deed.DATABASE_STOP:
            records.stop()
            time.sleep(act.lasts)
            records.start()


def _watched(scene: Scene) -> Mapping[str, Process]:
    down = scene.crew.changed()
    ours = {name: scene.crew.process(name) for name in scene.crew.names if name not in down}
    return {**ours, "broker": scene.node.process, "database": scene.records.process}


def _memory_is_flat(lives: list[Life], *, minutes: float, ours: list[str]) -> bool:
    judged = judge(life for life in lives if re.split("[:,]", life.name)[0] in ours)
    print(f"\n{'process':36} lives {'watched':>9} {'first':>9} {'last':>9} {'in 30 min':>9}")
    for each in judged:
        sizes = (
            f"{each.first / MIB:5.1f} MiB {each.last / MIB:5.1f} MiB {each.growth:+9.1%}"
            if each.first
            else 29 * " "
        )
        print(f"{each.name:36} {each.lives:5} {each.minutes:5.1f} min {sizes}  {each.finding.value}")
    # What a component starts for a while, as an instance of a function, need not live for long.
    lasting = [*ours, *(each.name for each in judged if ":" not in each.name and each.name not in ours)]
    found = faults(judged, lasting=lasting if minutes >= LONG else [])
    print("\n".join(found) if found else summary(judged))
    return not found


if __name__ == "__main__":
    sys.exit(main())
