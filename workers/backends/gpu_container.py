"""The gpu-container backend: each model in its own container, started on demand and kept warm."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from straightline.contracts import ModelSpec
from straightline.models.registry_view import RegistryView
from straightline.names import Backend as BackendName
from straightline.settings import load
from straightline.support.event_log import EventLogger
from workers.containers.policy.scaling import prewarmed_models
from workers.containers.pool.driver import Driver
from workers.containers.pool.failure_analysis import classify
from workers.containers.pool.pool import WarmPool
from workers.containers.pool.reaper import ContainerReaper
from workers.containers.settings import ContainerSettings
from workers.protocol.base import BackendResponse, Health
from workers.protocol.errors import BackendFault, ModelError

_MAX_SWEEP_INTERVAL_S: Final = 2.0
"""Time between two sweeps; less if servers are removed after a shorter idle time."""
_log = EventLogger(__name__)


class _ServerExited(Exception):  # noqa: N818 - control flow between two methods
    """The server exited before the request reached it."""


class GpuContainerBackend:
    """Leases a warm server of the model from the pool, and calls it.

    Args:
        driver: starts servers.
        pool: the running servers.
        reaper: removes idle, dead and orphaned servers.
    """

    name: BackendName = "gpu-container"
    max_payload: int | None = None

    def __init__(self, driver: Driver, pool: WarmPool, reaper: ContainerReaper) -> None:
        self._driver = driver
        self._pool = pool
        self._reaper = reaper

    def infer(self, model: ModelSpec, body: bytes, timeout: float) -> BackendResponse:
        """Call a warm server, or a fresh one; see `Backend.infer`.

        If the server had exited before, the request has not left this worker and goes to the next server.
        That happens once; the next result is final.
        """
        self._reaper.start()
        began = time.perf_counter()
        deadline = began + timeout
        try:
            return self._call(model, body, began, deadline, last=False)
        except _ServerExited:
            return self._call(model, body, began, deadline, last=True)

    def health(self) -> Health:
        """Return whether the driver can start servers; see `Backend.health`."""
        self._reaper.start()
        return self._driver.health()

    def models(self) -> list[str] | None:
        """Return the models that the driver can start."""
        return self._driver.models()

    def update_deployments(self, known: RegistryView) -> None:
        """Apply deployed images, removed versions and prewarmed models; see the interface."""
        self._driver.update_images(
            {
                (name, version): each.image
                for name, model in known.deployed.models.items()
                for version, each in model.versions.items()
                if each.image is not None
            }
        )
        self._pool.set_removed_versions(lambda key: known.find(*key) is None)
        self._pool.prewarm(prewarmed_models(known))

    def close(self) -> None:
        """Remove every server that this worker started."""
        self._reaper.stop()
        self._pool.close()
        self._driver.close()

    def _call(
        self, model: ModelSpec, body: bytes, began: float, deadline: float, *, last: bool
    ) -> BackendResponse:
        with self._pool.lease(model, deadline - time.perf_counter()) as lease:
            called_at, timeout = time.time(), max(0.001, deadline - time.perf_counter())
            try:
                response = lease.warm.client.infer(model, body, timeout)
            except ModelError as error:
                error.cold_start = lease.cold_start
                raise
            except BackendFault as fault:
                found = classify(lease.warm, fault, called_at, full_time=timeout >= model.timeout)
                if found.server_lost:
                    self._pool.discard(lease.warm)
                if found.not_reached and not last:
                    raise _ServerExited from found.fault
                found.fault.cold_start = lease.cold_start
                raise found.fault from fault
        return BackendResponse(
            body=response, service=time.perf_counter() - began, cold_start=lease.cold_start
        )


def create(environ: Mapping[str, str]) -> GpuContainerBackend:
    """Return the backend that the environment configures.

    Raises:
        ConfigurationError: a setting is missing or wrong.
    """
    settings = load(ContainerSettings, environ)
    driver = _driver(settings, environ)
    pool = WarmPool(
        driver,
        max_servers=settings.container_max,
        idle_timeout=settings.container_idle,
        start_timeout=settings.container_start,
        busy=settings.container_busy,
    )
    interval = min(_MAX_SWEEP_INTERVAL_S, settings.container_idle / 4)
    return GpuContainerBackend(driver, pool, ContainerReaper(pool, driver, interval))


def _driver(settings: ContainerSettings, environ: Mapping[str, str]) -> Driver:
    # Each driver is imported with its libraries only where it is used.
    if settings.container_driver == "process":
        from workers.containers.process.process_driver import ProcessDriver  # noqa: PLC0415

        _log.warning("containers_not_isolated")
        return ProcessDriver(settings.models_dir, environ, Path.cwd())
    from workers.containers.docker.docker_driver import DockerDriver  # noqa: PLC0415
    from workers.containers.docker.engine import Engine  # noqa: PLC0415
    from workers.containers.docker.owner import Owner  # noqa: PLC0415

    owner = Owner.this_process(settings.container_owner, settings.run)
    return DockerDriver(Engine(environ, settings.engine_timeout), settings, owner)
