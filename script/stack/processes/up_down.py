"""`script/up` and `script/down`: start and stop a persistent stack."""

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
"""Directory of the logs of the last failed run."""


def up(root: Path, state: Path, screen: Console) -> int:
    """Start a persistent stack; if one is running, print how to use it."""
    for run in [run for run in runs(state) if run.owner is None]:
        if run.started and all(process.alive() for process in run.started):
            screen.print(f"The stack is already running. To use it:  source {state / ENVIRONMENT}")
            return 0
        screen.print(
            "A process of the previous stack has exited; stopping the rest. The data of its private services "
            "is deleted: ledger, API keys, queues; also its store and functions. Models are kept in "
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
    except BaseException:  # also Ctrl-C: no half-started stack may remain
        run.stop(keep_logs=state / FAILED)
        screen.print(f"Logs: {state / FAILED}", soft_wrap=True)
        raise
    _print_addresses(screen, stack.plan, run, state)
    screen.print(f"GPU containers: driver {stack.driver.name} ({stack.driver.why}).")
    return 0


def down(state: Path, screen: Console) -> int:
    """Stop the persistent stack, and runs whose command died before it could stop them."""
    stopped = 0
    for run in runs(state):
        if run.owner is None or run.abandoned():
            for name in run.stop():
                screen.print(f"{name} did not stop in time and was killed.")
            stopped += 1
    (state / ENVIRONMENT).unlink(missing_ok=True)
    screen.print("Stopped." if stopped else "No stack was running.")
    return 0


def sweep(state: Path) -> None:
    """Stop runs whose command died before it could stop them."""
    for run in runs(state):
        if run.abandoned():
            run.stop()


def _write(file: Path, plan: Plan) -> None:
    variables = marked(plan.public(), os.environ)
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    draft = file.with_suffix(".new")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)  # contains passwords
    draft.write_text(
        "\n".join(["# Written by script/up. To use it: source FILE", *lines, ""]), encoding="utf-8"
    )
    draft.replace(file)


def _print_addresses(screen: Console, plan: Plan, run: Run, state: Path) -> None:
    screen.print(
        "",
        "StraightLine is running. To use it, load its addresses and passwords:",
        f"    source {state / ENVIRONMENT}",
        f"Gateway       http://127.0.0.1:{plan.gateway_port}  (key: $STRAIGHTLINE_API_KEY)",
        f"Flower        http://127.0.0.1:{plan.flower_port}  (with password: $STRAIGHTLINE_FLOWER_URL)",
        f"Local server  http://127.0.0.1:{plan.local_port}/v2",
        f"Models        {plan.models}",
        f"Logs          {run.directory / 'logs'}",
        "To stop it: script/down",
        sep="\n",
        soft_wrap=True,
    )
