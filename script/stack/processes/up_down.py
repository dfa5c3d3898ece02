"""`script/up` and `script/down`: a stack that stays, and its end."""

import os
import shlex
from pathlib import Path
from typing import Final

from rich.console import Console

from script.stack.processes.env_marker import marked
from script.stack.processes.plan import Plan
from script.stack.processes.stack import start_stack
from script.support.run import Run, runs

ENVIRONMENT: Final = "env"
FAILED: Final = "failed"
"""Directory of the logs of what went wrong last."""


def up(root: Path, state: Path, screen: Console) -> int:
    """Start a stack that stays; where one runs already, say where it is."""
    for run in [run for run in runs(state) if run.owner is None]:
        if run.started and all(process.alive() for process in run.started):
            screen.print(f"It runs already. Use it with:  source {state / ENVIRONMENT}")
            return 0
        screen.print(
            "Something of an earlier stack has died; stopping the rest of it. What services of its own held "
            "goes with it: ledger, keys, queues; so do its store and its functions. The models stay in "
            f"{state / 'models'}.",
            soft_wrap=True,
        )
        run.stop()
    run = Run.create(state, stays=True)
    try:
        stack = start_stack(
            root, run, screen, models=state / "models", thresholds=None, environ=dict(os.environ)
        )
        _write(state / ENVIRONMENT, stack.plan)
    except BaseException:  # also Ctrl-C: nothing half may stay
        run.stop(keep_logs=state / FAILED)
        screen.print(f"Its logs are in {state / FAILED}", soft_wrap=True)
        raise
    _print_addresses(screen, stack.plan, run, state)
    screen.print(f"The gpu-container pool uses the driver {stack.driver.name}: {stack.driver.why}.")
    return 0


def down(state: Path, screen: Console) -> int:
    """Stop what `script/up` left running, and runs whose own command died before it could stop them."""
    stopped = 0
    for run in runs(state):
        if run.owner is None or run.abandoned():
            for stubborn in run.stop():
                screen.print(f"{stubborn} did not end by itself and was killed.")
            stopped += 1
    (state / ENVIRONMENT).unlink(missing_ok=True)
    screen.print("Stopped." if stopped else "Nothing was running.")
    return 0


def sweep(state: Path) -> None:
    """Stop runs whose command died before it could."""
    for run in runs(state):
        if run.abandoned():
            run.stop()


def _write(file: Path, plan: Plan) -> None:
    variables = marked(plan.public(), os.environ)
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    draft = file.with_suffix(".new")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)  # it has passwords
    draft.write_text("\n".join(["# Written by script/up; source it.", *lines, ""]), encoding="utf-8")
    draft.replace(file)


def _print_addresses(screen: Console, plan: Plan, run: Run, state: Path) -> None:
    screen.print(
        "",
        "StraightLine is up. Its broker, database and passwords stand in a file; use it with:",
        f"    source {state / ENVIRONMENT}",
        f"Gateway       http://127.0.0.1:{plan.gateway_port}  (its key in that file)",
        f"Flower        http://127.0.0.1:{plan.flower_port}  (user straightline, password in that file)",
        f"Local server  http://127.0.0.1:{plan.local_port}/v2",
        f"Models        {plan.models}",
        f"Logs          {run.directory / 'logs'}",
        "Stop it with script/down.",
        sep="\n",
        soft_wrap=True,
    )
