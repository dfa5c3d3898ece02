"""The processes of StraightLine itself, as data: what each is called, how it is run, what it is told."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from script.stack.processes.plan import SLOTS, Plan


@dataclass(frozen=True)
class Component:
    """A process of the stack.

    Attributes:
        name: of the process and its log.
        argv: the command.
        environment: variables for it alone.
        tier: when it is stopped; lower ones first, so that pools can end what they have begun.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    tier: int = 0


def components(plan: Plan) -> tuple[Component, ...]:
    """Every process of the stack but the services."""
    python = (sys.executable, "-m")
    return (
        Component(
            "local-server",
            (
                *python,
                "gunicorn",
                "-c",
                "python:model_server.gunicorn_conf",
                "model_server.app:create()",
            ),
            {
                "STRAIGHTLINE_SERVE_BIND": f"127.0.0.1:{plan.local_port}",
                "STRAIGHTLINE_SERVE_THREADS": str(SLOTS["local"]),
            },
            tier=1,
        ),
        Component(
            "functions",
            (*python, "function_host"),
            {
                "STRAIGHTLINE_FUNCTIONS_HOST": "127.0.0.1",
                "STRAIGHTLINE_FUNCTIONS_PORT": str(plan.functions_port),
                "STRAIGHTLINE_FUNCTIONS_PACKAGES": str(plan.functions),
                "STRAIGHTLINE_FUNCTIONS_DEPLOY": "true",
                # As many as the pool asks for at once: with fewer it would be throttled.
                "STRAIGHTLINE_FUNCTIONS_FUNCTION_CONCURRENCY": str(SLOTS["serverless"]),
                # Its threads are many, and what each keeps for itself only grows.
                "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0",
            },
            tier=1,
        ),
        Component("scheduler", (*python, "scheduler"), _broker(plan, "scheduler")),
        Component(
            "recorder",
            (*python, "outcomes", "record"),
            {**_broker(plan, "recorder"), **_database(plan, "recorder")},
            tier=1,
        ),
        Component(
            "reconciler",
            (*python, "outcomes", "reconcile"),
            {**_broker(plan, "reconciler"), **_database(plan, "reconciler")},
            tier=1,
        ),
        Component(
            "gateway",
            (*python, "gateway", "http"),
            {
                **_broker(plan, "gateway"),
                **_database(plan, "gateway"),
                "STRAIGHTLINE_GATEWAY_BIND": f"127.0.0.1:{plan.gateway_port}",
            },
        ),
        Component(
            "webhooks",
            (*python, "gateway", "webhooks"),
            {**_broker(plan, "webhooks"), **_database(plan, "webhooks")},
        ),
        Component(
            "batches",
            (*python, "gateway", "batches"),
            {**_broker(plan, "batches"), **_database(plan, "batches")},
        ),
        Component("celery-door", (*python, "gateway", "celery"), _broker(plan, "celery-door")),
        *(_pool(plan, backend, slots) for backend, slots in SLOTS.items()),
        Component(
            "flower",
            (*python, "celery", "-A", "workers", "flower"),
            {
                **_broker(plan, "flower"),
                "FLOWER_ADDRESS": "127.0.0.1",
                "FLOWER_PORT": str(plan.flower_port),
                "FLOWER_BASIC_AUTH": f"straightline:{plan.flower_password}",
                "FLOWER_READ_ONLY": "true",
                "FLOWER_TASKS_COLUMNS": "name,uuid,state,args,result,received,runtime,worker",
                "FLOWER_MAX_TASKS": "5000",  # by default 100,000, of some KiB each
            },
        ),
    )


def _broker(plan: Plan, user: str) -> dict[str, str]:
    return {"STRAIGHTLINE_BROKER_URL": plan.broker.of(user)}


def _database(plan: Plan, role: str) -> dict[str, str]:
    return {"STRAIGHTLINE_DATABASE_URL": plan.database.of(role)}


def _pool(plan: Plan, backend: str, slots: int) -> Component:
    return Component(
        f"pool-{backend}",
        (
            *(sys.executable, "-m", "celery", "-A", "workers", "worker"),
            *("-Q", f"straightline.{backend}", "-n", f"{backend}@%h", "-P", "threads", "-c", str(slots)),
            # Pools need nothing of each other; both would make each start wait for the others' answers.
            *("--without-gossip", "--without-mingle"),
        ),
        _broker(plan, f"pool-{backend}"),
    )
