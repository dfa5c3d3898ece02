"""StraightLine's own processes as data: name, command, variables.

A test compares them with the services of `docker-compose.yml`.
"""

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
        environment: variables of this process only.
        tier: order of stopping, lowest first, so that pools can finish their requests.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    tier: int = 0


def components(plan: Plan) -> tuple[Component, ...]:
    """Return all processes of the stack except RabbitMQ and Postgres."""
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
                # The concurrency of the pool, which would be throttled with less.
                "STRAIGHTLINE_FUNCTIONS_FUNCTION_CONCURRENCY": str(SLOTS["serverless"]),
                # It has many threads, and a cache per thread only grows.
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
                "FLOWER_MAX_TASKS": "5000",  # the default is 100,000, of some KiB each
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
            # Pools need nothing from each other; both options would delay each start.
            *("--without-gossip", "--without-mingle"),
        ),
        _broker(plan, f"pool-{backend}"),
    )
