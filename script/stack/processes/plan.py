"""What a stack consists of, decided before anything is started: ports, secrets, thresholds, environment."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from script.stack.services.access import Access
from script.stack.services.ports import free_ports
from script.support.processes import RUN_VARIABLE

SLOTS: Final[Mapping[str, int]] = MappingProxyType({"local": 4, "gpu-container": 2, "serverless": 4})
"""Requests that each pool takes at once; few, so that a demo on a small machine sees them taken."""

SECRET: Final = frozenset(
    {
        "STRAIGHTLINE_BROKER_URL",
        "STRAIGHTLINE_CELERY_BROKER_URL",
        "STRAIGHTLINE_DATABASE_URL",
        "STRAIGHTLINE_DATABASE_OWNER_URL",
        "STRAIGHTLINE_DEPLOY_BROKER_URL",
        "STRAIGHTLINE_DEPLOY_DATABASE_URL",
        "STRAIGHTLINE_FLOWER_URL",
        "STRAIGHTLINE_API_KEY",
    }
)
"""Variables with passwords, of which a process has those that it uses."""


@dataclass(frozen=True)
class Thresholds:
    """`F` in requests/s, taken over `window` seconds, and `D` in bytes."""

    F: float
    window: float
    D: int


@dataclass(frozen=True)
class Plan:
    """Where everything of one stack is to be.

    Attributes:
        root: the checkout.
        run: name of the run.
        directory: the run's private directory.
        models: the directory of bundles.
        broker, database: URLs of RabbitMQ and Postgres.
        driver: of the gpu-container pool, `docker` or `process`.
        digests: of the images that the driver may run; none leaves it to the environment.
        thresholds: for the scheduler; None leaves its defaults.
        api_key: of the HTTP gateway, with every scope.
        local_port, functions_port, flower_port, gateway_port: on the loopback interface.
        flower_password: of its user `straightline`.
    """

    root: Path
    run: str
    directory: Path
    models: Path
    broker: Access
    database: Access
    driver: str
    digests: tuple[str, ...] = ()
    thresholds: Thresholds | None = None
    api_key: str = ""
    local_port: int = 0
    functions_port: int = 0
    flower_port: int = 0
    gateway_port: int = 0
    flower_password: str = field(default_factory=lambda: secrets.token_urlsafe(18))

    @property
    def store(self) -> Path:
        """Where large bodies lie."""
        return self.directory / "store"

    @property
    def functions(self) -> Path:
        """Where the packages of serverless functions lie."""
        return self.directory / "functions"

    def public(self) -> dict[str, str]:
        """Return the variables that a user of this stack needs, as `.straightline/env` has them."""
        functions = f"http://127.0.0.1:{self.functions_port}"
        return {
            "STRAIGHTLINE_BROKER_URL": self.broker.of("producer"),
            # Celery makes a queue of results under a name of its own, which the producer may not.
            "STRAIGHTLINE_CELERY_BROKER_URL": self.broker.of("celery-producer"),
            "STRAIGHTLINE_DATABASE_URL": self.database.of("reader"),
            "STRAIGHTLINE_DATABASE_OWNER_URL": self.database.admin,
            "STRAIGHTLINE_DEPLOY_BROKER_URL": self.broker.of("deployer"),
            "STRAIGHTLINE_DEPLOY_DATABASE_URL": self.database.of("deployer"),
            "STRAIGHTLINE_FLOWER_URL": (
                f"http://straightline:{self.flower_password}@127.0.0.1:{self.flower_port}"
            ),
            "STRAIGHTLINE_GATEWAY_URL": f"http://127.0.0.1:{self.gateway_port}",
            "STRAIGHTLINE_API_KEY": self.api_key,
            "STRAIGHTLINE_MODELS_DIR": str(self.models),
            "STRAIGHTLINE_LOCAL_URL": f"http://127.0.0.1:{self.local_port}",
            "STRAIGHTLINE_STORE": self.store.as_uri(),
            "STRAIGHTLINE_CONTAINER_DRIVER": self.driver,
            "AWS_ENDPOINT_URL_LAMBDA": functions,
            # The function host checks no signature; boto3 cannot send without something to sign with.
            "AWS_ACCESS_KEY_ID": "straightline",
            "AWS_SECRET_ACCESS_KEY": "straightline",
            "AWS_DEFAULT_REGION": "eu-central-1",
        }

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Return what every process of this stack is told; who uses a service is given its URL besides."""
        programs = self.root / ".venv" / "bin"
        ours = self.public() | {
            RUN_VARIABLE: self.run,
            "PATH": f"{programs}{os.pathsep}{inherited.get('PATH', os.defpath)}",
            "PYTHONPATH": str(self.root),
            "PYTHONUNBUFFERED": "1",
            # Who tries webhooks here has a receiver here.
            "STRAIGHTLINE_WEBHOOK_HOSTS": inherited.get("STRAIGHTLINE_WEBHOOK_HOSTS", "127.0.0.1,localhost"),
            # Many processes on few cores: libraries that start a thread per core get in each other's way.
            "OMP_NUM_THREADS": "1",
            # Else each thread has a heap of its own, and memory grows until each has held a large request.
            "MALLOC_ARENA_MAX": "2",
            # Else one large request that is freed moves the line above which memory is given back at once.
            "MALLOC_MMAP_THRESHOLD_": "131072",
            "MALLOC_TRIM_THRESHOLD_": "131072",
        }
        if self.thresholds is not None:
            ours |= {
                "STRAIGHTLINE_F": str(self.thresholds.F),
                "STRAIGHTLINE_WINDOW": str(self.thresholds.window),
                "STRAIGHTLINE_D": str(self.thresholds.D),
            }
        if self.digests:
            listed = inherited.get("STRAIGHTLINE_CONTAINER_DIGESTS", "")
            ours["STRAIGHTLINE_CONTAINER_DIGESTS"] = " ".join([*self.digests, listed]).strip()
        return {name: value for name, value in (dict(inherited) | ours).items() if name not in SECRET}


def with_ports(plan: Plan) -> Plan:
    """Return the plan with free ports in it."""
    local, functions, flower, gateway = free_ports(4)
    return replace(plan, local_port=local, functions_port=functions, flower_port=flower, gateway_port=gateway)
