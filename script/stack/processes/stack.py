"""Start of the whole stack, until every process is ready."""

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
"""Time limit for each process to become ready; on an idle machine all take a few seconds."""


@dataclass(frozen=True)
class Stack:
    """A ready stack: its plan, and the driver of its gpu-container pool."""

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
    """Start the stack of a run and return when it is ready.

    Args:
        root: the checkout.
        run: records the started processes; the caller stops it, also if this raises.
        screen: shows the steps.
        models: directory for the example's bundle.
        thresholds: for the scheduler; None keeps those of the environment or the defaults.
        environ: the caller's environment; services whose URL it sets are used, not started.

    Raises:
        StackError: a step failed; the message says which and why.
    """
    prerequisites = _prepare(Preparation(root, run, models, run.directory / "functions"), screen, environ)
    driver = provide_driver(models / "digits" / "1", screen, environ)
    plan = with_ports(
        Plan(
            root=root,
            run=run.name,
            directory=run.directory,
            models=models,
            broker=prerequisites.broker,
            database=prerequisites.database,
            api_key=prerequisites.api_key,
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
    external = [name for name, url in given.items() if url]
    private = [name for name, url in given.items() if not url]
    if external:
        screen.print(f"Using {' and '.join(external)} from the environment.")
    start = f"Starting a private {' and '.join(private)}, d" if private else "D"
    with step(screen, f"{start}eclaring queues and tables, training the digits model"):
        return preparation.make(given["RabbitMQ"], given["Postgres"])


def _refuse_shared_broker(plan: Plan) -> None:
    """Refuse a given broker on which another scheduler runs: the two stacks would share requests."""
    with readiness_probes.broker_probe(plan.broker.admin) as broker:
        if broker.consumed(names.INTERACTIVE_QUEUE):
            raise StackError(
                "the stack cannot start: another scheduler runs on the broker of STRAIGHTLINE_BROKER_URL. "
                "Stop it, or unset the variable to use a private broker"
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
                what=f"the {backend} pool",
                seconds=_READY_TIMEOUT_S,
                watched=(started[f"pool-{backend}"],),
                detail=partial(broker.unhealthy_reason, backend),
            )
