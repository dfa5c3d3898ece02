"""The gpu-container backend: the model's own container, started when first asked for and kept warm."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from straightline.contracts import ModelSpec
from straightline.models.registry_view import RegistryView
from straightline.names import Backend as BackendName
from straightline.settings import load
from workers.containers.pool.driver import Driver
from workers.containers.pool.failure_analysis import classify
from workers.containers.pool.pool import WarmPool
from workers.containers.pool.reaper import ContainerReaper
from workers.containers.pool.scaling import prewarmed_models
from workers.containers.settings import ContainerSettings
from workers.protocol.base import BackendResponse, Health
from workers.protocol.errors import BackendFault, ModelError

_MAX_SWEEP_INTERVAL_S: Final = 2.0
"""Seconds between two sweeps; shorter where servers may idle for less."""
_log = logging.getLogger(__name__)


class _ServerExited(Exception):  # noqa: N818 - it is a message from one method to the next
    """The server had ended before the request reached it."""


class GpuContainerBackend:
    """Asks a driver for a ready server of the model, and the server for the answer.

    Args:
        driver: what starts servers.
        pool: those that run.
        caretaker: what sweeps up.
    """

    name: BackendName = "gpu-container"
    max_payload: int | None = None

    def __init__(self, driver: Driver, pool: WarmPool, caretaker: ContainerReaper) -> None:
        self._driver = driver
        self._pool = pool
        self._caretaker = caretaker

    def infer(self, model: ModelSpec, body: bytes, timeout: float) -> BackendResponse:
        """Ask a warm server, or a fresh one; see `Backend.infer`.

        A request that meets a server which ended before is not lost on it: it never left this worker, so it
        takes the next server. This happens once; whatever the next one does is the answer.
        """
        self._caretaker.start()
        began = time.perf_counter()
        deadline = began + timeout
        try:
            return self._ask(model, body, began, deadline, last=False)
        except _ServerExited:
            return self._ask(model, body, began, deadline, last=True)

    def health(self) -> Health:
        """Ask the driver whether servers can be started."""
        self._caretaker.start()
        return self._driver.health()

    def models(self) -> list[str] | None:
        """Return what the driver can start."""
        return self._driver.models()

    def learn(self, known: RegistryView) -> None:
        """Take which images were deployed, what is gone, and what is to stand ready; see `Backend.learn`."""
        self._driver.learn(
            {
                (name, version): each.image
                for name, model in known.deployed.models.items()
                for version, each in model.versions.items()
                if each.image is not None
            }
        )
        self._pool.forget(lambda key: known.find(*key) is None)
        self._pool.keep(prewarmed_models(known))

    def close(self) -> None:
        """Remove every server that this worker started."""
        self._caretaker.stop()
        self._pool.close()
        self._driver.close()

    def _ask(
        self, model: ModelSpec, body: bytes, began: float, deadline: float, *, last: bool
    ) -> BackendResponse:
        with self._pool.lease(model, deadline - time.perf_counter()) as lease:
            asked, patience = time.time(), max(0.001, deadline - time.perf_counter())
            try:
                answer = lease.warm.client.infer(model, body, patience)
            except ModelError as error:
                error.cold_start = lease.cold_start
                raise
            except BackendFault as fault:
                found = classify(lease.warm, fault, asked, full_time=patience >= model.timeout)
                if found.useless:
                    self._pool.discard(lease.warm)
                if found.unasked and not last:
                    raise _ServerExited from found.fault
                found.fault.cold_start = lease.cold_start
                raise found.fault from fault
        return BackendResponse(body=answer, service=time.perf_counter() - began, cold_start=lease.cold_start)


def create(environ: Mapping[str, str]) -> GpuContainerBackend:
    """Make the backend that the environment describes.

    Raises:
        ConfigurationError: a setting is missing or wrong.
    """
    settings = load(ContainerSettings, environ)
    driver = _driver(settings, environ)
    pool = WarmPool(
        driver,
        most=settings.container_max,
        idle=settings.container_idle,
        patience=settings.container_start,
        busy=settings.container_busy,
    )
    return GpuContainerBackend(
        driver, pool, ContainerReaper(pool, driver, min(_MAX_SWEEP_INTERVAL_S, settings.container_idle / 4))
    )


def _driver(settings: ContainerSettings, environ: Mapping[str, str]) -> Driver:
    # Each driver with its libraries only where it is used.
    if settings.container_driver == "process":
        from workers.containers.process.process_driver import NOTICE, ProcessDriver  # noqa: PLC0415

        _log.warning(NOTICE)
        return ProcessDriver(settings.models_dir, environ, Path.cwd())
    from workers.containers.docker.docker_driver import DockerDriver  # noqa: PLC0415
    from workers.containers.docker.engine import Engine  # noqa: PLC0415
    from workers.containers.docker.owner import Owner  # noqa: PLC0415

    owner = Owner.this_process(settings.container_owner, settings.run)
    return DockerDriver(Engine(environ, settings.engine_timeout), settings, owner)
