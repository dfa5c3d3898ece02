"""Starting the whole stack: services and model, then topology and tables, then StraightLine's processes."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console

from script.stack import engine, processes, signs
from script.stack.components import Component, components
from script.stack.failure import StackError
from script.stack.plan import SLOTS, Plan, Thresholds, with_ports
from script.stack.ports import accepts
from script.stack.progress import step
from script.stack.readiness import indent, wait_until
from script.stack.run import Run
from script.stack.services import Services, start_services
from straightline import names

_PATIENCE: Final = 60.0
"""Seconds until every process must be ready; a few on an idle machine."""


@dataclass(frozen=True)
class Stack:
    """A stack that is ready: what it is, and the driver that its gpu-container pool uses."""

    plan: Plan
    driver: engine.Driver


def start_stack(
    root: Path,
    run: Run,
    screen: Console,
    *,
    models: Path,
    thresholds: Thresholds | None,
    environ: Mapping[str, str],
) -> Stack:
    """Start everything for `run` and return when it is ready.

    Args:
        root: the checkout.
        run: records what is started; the caller stops it, also when this raises.
        screen: shows the steps.
        models: the directory that the example's bundle goes to.
        thresholds: for the scheduler; None leaves them to the environment and its defaults.
        environ: the caller's environment; services whose URL it names are used and not started.

    Raises:
        StackError: a step failed; the message says which and why.
    """
    models.mkdir(parents=True, exist_ok=True)
    driver = engine.choose_driver(environ)
    with ThreadPoolExecutor(1) as pool:
        training = pool.submit(_prepare_models, root, run, models)
        services = _services(run, screen, environ)
        plan = with_ports(
            Plan(
                root=root,
                run=run.name,
                directory=run.directory,
                models=models,
                broker_url=services.broker_url,
                database_url=services.database_url,
                driver=driver.name,
                thresholds=thresholds,
            )
        )
        plan.store.mkdir(exist_ok=True)
        environment = plan.environment(environ)
        with step(screen, "Declaring the queues, migrating the database, training the digits model"):
            _at_once(
                root,
                environment,
                ("declaring the queues", (sys.executable, "-m", "broker_config")),
                (
                    "migrating the database",
                    (sys.executable, "-m", "alembic", "-c", "migrations/alembic.ini", "upgrade", "head"),
                ),
            )
            training.result()
    parts = components(plan)
    with step(screen, "Starting the scheduler, the recorder, three pools, their backends and Flower"):
        _refuse_company(plan)
        _start(root, run, environment, parts)
        _wait(plan, {process.name: process for process in run.started})
    return Stack(plan, driver)


def _services(run: Run, screen: Console, environ: Mapping[str, str]) -> Services:
    broker_url = environ.get("STRAIGHTLINE_BROKER_URL") or None
    database_url = environ.get("STRAIGHTLINE_DATABASE_URL") or None
    ours = [name for name, url in (("RabbitMQ", broker_url), ("Postgres", database_url)) if url is None]
    theirs = [name for name, url in (("RabbitMQ", broker_url), ("Postgres", database_url)) if url]
    if theirs:
        screen.print(f"Using {' and '.join(theirs)} as the environment says.")
    if not ours:
        return start_services(run, broker_url, database_url)
    with step(screen, f"Starting a private {' and a private '.join(ours)}"):
        return start_services(run, broker_url, database_url)


def _prepare_models(root: Path, run: Run, models: Path) -> None:
    """Train the example and package its serverless form."""
    environment = dict(os.environ) | {"PYTHONPATH": str(root), processes.RUN_VARIABLE: run.name}
    _call(root, environment, "training the digits model", _module("examples.digits.train", "--out", models))
    _call(
        root,
        environment,
        "packaging the digits function",
        _module(
            "modelkit.package",
            "function",
            "--bundle",
            models / "digits" / "1",
            "--out",
            run.directory / "functions",
        ),
    )


def _module(name: str, *arguments: object) -> tuple[str, ...]:
    return (sys.executable, "-m", name, *map(str, arguments))


def _at_once(root: Path, environment: Mapping[str, str], *calls: tuple[str, Sequence[str]]) -> None:
    with ThreadPoolExecutor(len(calls)) as pool:
        waiting: list[Future[None]] = [
            pool.submit(_call, root, environment, title, argv) for title, argv in calls
        ]
        for future in waiting:
            future.result()


def _call(root: Path, environment: Mapping[str, str], title: str, argv: Sequence[str]) -> None:
    done = subprocess.run(
        argv, cwd=root, env=dict(environment), capture_output=True, text=True, check=False, timeout=180
    )
    if done.returncode != 0:
        output = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise StackError(f"{title} failed:\n{indent(output)}")


def _refuse_company(plan: Plan) -> None:
    """Stop where another stack works on the broker that we were given: they would share its requests."""
    with signs.broker_signs(plan.broker_url) as broker:
        if broker.consumed(names.INTERACTIVE_QUEUE):
            raise StackError(
                "another scheduler already works on the broker that STRAIGHTLINE_BROKER_URL names: "
                "stop it, or unset that variable to get a private broker"
            )


def _start(root: Path, run: Run, environment: Mapping[str, str], parts: Sequence[Component]) -> None:
    for part in parts:
        run.add(
            processes.start(
                part.name,
                part.argv,
                log=run.log(part.name),
                cwd=root,
                environment={**environment, **part.environment},
                tier=part.tier,
            )
        )


def _wait(plan: Plan, started: Mapping[str, processes.Process]) -> None:
    public = plan.public()
    with signs.broker_signs(plan.broker_url) as broker:
        wanted: dict[str, signs.Sign] = {
            "scheduler": lambda: broker.consumed(names.INTERACTIVE_QUEUE),
            "recorder": lambda: broker.consumed(names.OUTCOMES_QUEUE),
            "functions": lambda: accepts(plan.functions_port),
            "local-server": lambda: signs.answers_http(f"{public['STRAIGHTLINE_LOCAL_URL']}/v2/health/ready"),
            "flower": lambda: signs.answers_http(f"http://127.0.0.1:{plan.flower_port}/healthcheck"),
        }
        for name, ready in wanted.items():
            wait_until(ready, what=name, seconds=_PATIENCE, watched=(started[name],))
        for backend in SLOTS:
            wait_until(
                partial(broker.healthy, backend),
                what=f"a healthy {backend} pool",
                seconds=_PATIENCE,
                watched=(started[f"pool-{backend}"],),
                detail=partial(broker.complaint, backend),
            )
