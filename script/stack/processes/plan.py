"""Plan of a stack, made before anything is started: ports, secrets, thresholds, environment."""

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
"""Concurrent requests of each pool; few, so that a demo on a small machine uses them up."""

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
"""Variables with passwords; a process gets only those that it uses."""


@dataclass(frozen=True)
class Thresholds:
    """Thresholds of the placing algorithm: `F` in requests/s over `window` seconds, `D` in bytes."""

    F: float
    window: float
    D: int


@dataclass(frozen=True)
class Plan:
    """Locations, ports and secrets of one stack.

    Attributes:
        root: the checkout.
        run: name of the run.
        directory: private directory of the run.
        models: directory of bundles.
        broker, database: URLs of RabbitMQ and Postgres.
        driver: driver of the gpu-container pool, `docker` or `process`.
        digests: digests of the images that the driver may run; empty leaves them to the environment.
        thresholds: for the scheduler; None keeps its defaults.
        api_key: key of the HTTP gateway with every scope.
        local_port, functions_port, flower_port, gateway_port: ports on the loopback interface.
        flower_password: password of Flower's user `straightline`.
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
        """Directory of large request bodies and results."""
        return self.directory / "store"

    @property
    def functions(self) -> Path:
        """Directory of function packages."""
        return self.directory / "functions"

    def public(self) -> dict[str, str]:
        """Return the variables for users of this stack, as written to `.straightline/env`."""
        functions = f"http://127.0.0.1:{self.functions_port}"
        return {
            "STRAIGHTLINE_BROKER_URL": self.broker.of("producer"),
            # Celery declares a result queue under its own name, which the producer's user may not.
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
            # The function host checks no signature, but boto3 requires credentials.
            "AWS_ACCESS_KEY_ID": "straightline",
            "AWS_SECRET_ACCESS_KEY": "straightline",
            "AWS_DEFAULT_REGION": "eu-central-1",
        }

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Return the common environment of all processes; it has no secret, which each gets by itself."""
        programs = self.root / ".venv" / "bin"
        ours = self.public() | {
            RUN_VARIABLE: self.run,
            "PATH": f"{programs}{os.pathsep}{inherited.get('PATH', os.defpath)}",
            "PYTHONPATH": str(self.root),
            "PYTHONUNBUFFERED": "1",
            # For trials, the receiver of webhooks runs on this machine.
            "STRAIGHTLINE_WEBHOOK_HOSTS": inherited.get("STRAIGHTLINE_WEBHOOK_HOSTS", "127.0.0.1,localhost"),
            # Many processes share few cores: libraries must not start a thread per core.
            "OMP_NUM_THREADS": "1",
            # With a heap per thread, memory grows until each heap has held a large request.
            "MALLOC_ARENA_MAX": "2",
            # Fixed: freeing one large request would raise the size above which memory is returned at once.
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
    """Return the plan with free ports."""
    local, functions, flower, gateway = free_ports(4)
    return replace(plan, local_port=local, functions_port=functions, flower_port=flower, gateway_port=gateway)
