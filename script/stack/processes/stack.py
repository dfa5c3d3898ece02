"""Starting the whole stack, and knowing that it is ready."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console

from script.docker_engine.container_driver import provide_driver
from script.docker_engine.engine import Driver
from script.stack.processes import readiness_probes
from script.stack.processes.components import Component, components
from script.stack.processes.plan import SLOTS, Plan, Thresholds, with_ports
from script.stack.processes.prepare import Preparation, Prerequisites
from script.stack.services.ports import accepts
from script.support import processes
from script.support.errors import StackError
from script.support.progress import step
from script.support.readiness import wait_until
from script.support.run import Run
from straightline import names

_READY_TIMEOUT_S: Final = 60.0
"""Seconds until every process must be ready; a few on an idle machine."""


@dataclass(frozen=True)
class Stack:
    """A stack that is ready: what it is, and the driver that its gpu-container pool uses."""

    plan: Plan
    driver: Driver


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
    ground = _prepare(Preparation(root, run, models, run.directory / "functions"), screen, environ)
    driver = provide_driver(models / "digits" / "1", screen, environ)
    plan = with_ports(
        Plan(
            root=root,
            run=run.name,
            directory=run.directory,
            models=models,
            broker=ground.broker,
            database=ground.database,
            api_key=ground.api_key,
            driver=driver.name,
            digests=driver.digests,
            thresholds=thresholds,
        )
    )
    plan.store.mkdir(exist_ok=True)
    with step(screen, "Starting scheduler, recorder, reconciler, gateway, pools, their backends and Flower"):
        _refuse_shared_broker(plan)
        _start(root, run, plan.environment(environ), components(plan))
        _wait(plan, {process.name: process for process in run.started})
    return Stack(plan, driver)


def _prepare(preparation: Preparation, screen: Console, environ: Mapping[str, str]) -> Prerequisites:
    given = {
        "RabbitMQ": environ.get("STRAIGHTLINE_BROKER_URL") or None,
        "Postgres": environ.get("STRAIGHTLINE_DATABASE_URL") or None,
    }
    theirs = [name for name, url in given.items() if url]
    ours = [name for name, url in given.items() if not url]
    if theirs:
        screen.print(f"Using {' and '.join(theirs)} as the environment says.")
    start = f"Starting a private {' and '.join(ours)}, d" if ours else "D"
    with step(screen, f"{start}eclaring queues and tables, training the digits model"):
        return preparation.make(given["RabbitMQ"], given["Postgres"])


def _refuse_shared_broker(plan: Plan) -> None:
    """Stop where another stack works on the broker that we were given: they would share its requests."""
    with readiness_probes.broker_probe(plan.broker.admin) as broker:
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
    local = f"{plan.public()['STRAIGHTLINE_LOCAL_URL']}/v2/health/ready"
    with readiness_probes.broker_probe(plan.broker.admin) as broker:
        wanted: dict[str, readiness_probes.Probe] = {
            "scheduler": partial(broker.consumed, names.INTERACTIVE_QUEUE),
            "recorder": partial(broker.consumed, names.OUTCOMES_QUEUE),
            "webhooks": partial(broker.consumed, names.WEBHOOKS_QUEUE),
            "reconciler": partial(broker.consumed, names.DEAD_QUEUE),
            "celery-door": partial(broker.consumed, names.CELERY_QUEUE),
            "functions": partial(accepts, plan.functions_port),
            "local-server": partial(readiness_probes.answers_http, local),
            "gateway": partial(
                readiness_probes.answers_http, f"{plan.public()['STRAIGHTLINE_GATEWAY_URL']}/v2/health/ready"
            ),
            "flower": partial(
                readiness_probes.answers_http, f"http://127.0.0.1:{plan.flower_port}/healthcheck"
            ),
        }
        for name, ready in wanted.items():
            wait_until(ready, what=name, seconds=_READY_TIMEOUT_S, watched=(started[name],))
        for backend in SLOTS:
            wait_until(
                partial(broker.healthy, backend),
                what=f"a healthy {backend} pool",
                seconds=_READY_TIMEOUT_S,
                watched=(started[f"pool-{backend}"],),
                detail=partial(broker.complaint, backend),
            )
