"""The driver that runs model servers in containers of a Docker engine."""

import secrets
import time
from collections.abc import Mapping
from threading import Lock
from typing import Any, Final

from docker import DockerClient

from straightline.contracts import ModelSpec
from workers.containers.docker.docker_server import DockerServer, remove_container
from workers.containers.docker.engine import Engine
from workers.containers.docker.hardening import gpu_options, hardening_options, network_options
from workers.containers.docker.images import ImageResolver
from workers.containers.docker.owner import OWNER_LABEL, Owner, is_orphan
from workers.containers.policy import gpus
from workers.containers.policy.scaling import ModelKey
from workers.containers.pool.diagnosis import exit_fault
from workers.containers.settings import ContainerSettings
from workers.protocol.base import Health
from workers.protocol.errors import BackendFault

MODEL_LABEL: Final = "straightline.model"
VERSION_LABEL: Final = "straightline.version"
_SERVER_LABEL: Final = "straightline.server"
"""A random token for each start, by which the containers in use are known."""
_IMAGE_LIST_TTL_S: Final = 5.0


class DockerDriver:
    """Starts one confined container for each server, labelled with its owner.

    Args:
        engine: the connection.
        settings: image and limits.
        owner: this worker.

    Raises:
        ConfigurationError: the template of the image's name is unusable, an entry of the allowlist is not a
            digest, or a GPU is listed twice.
    """

    def __init__(self, engine: Engine, settings: ContainerSettings, owner: Owner) -> None:
        self._images = ImageResolver(settings.container_image, settings.container_digests)
        self._gpus = gpus.parse_ids(settings.container_gpus)
        self._choosing = Lock()  # from counting the GPUs' loads to creating the container
        self._engine = engine
        self._settings = settings
        self._owner = owner
        self._lock = Lock()
        self._used: set[str] = set()
        self._models: list[str] | None = None
        self._listed = float("-inf")

    def start(self, model: ModelSpec) -> DockerServer:
        """Start a container; see `Driver.start`."""
        token = secrets.token_hex(6)
        with self._lock:
            self._used.add(token)  # before the container exists, so that no sweep takes it for an orphan
        server = None
        try:
            server = self._create(model, token)
            with self._engine.session() as client:
                client.api.start(server.id)
                server.url = self._url(client, server)
        except BaseException:
            self._release(token)
            if server is not None:
                server.remove()
            raise
        return server

    def health(self) -> Health:
        """Return whether the engine answers."""
        try:
            with self._engine.session(quick=True) as client:
                client.ping()
        except BackendFault as fault:
            return Health(ok=False, reason=str(fault))
        return Health(ok=True)

    def models(self) -> list[str] | None:
        """Return the models whose images the engine has; the last list if it does not answer."""
        if time.monotonic() - self._listed >= _IMAGE_LIST_TTL_S:
            self._listed = time.monotonic()
            try:
                with self._engine.session(quick=True) as client:
                    images = client.api.images()
            except BackendFault:
                return self._models
            self._models = self._images.models(images)
        return self._models

    def update_images(self, images: Mapping[ModelKey, str]) -> None:
        """Allow the deployed images, and refresh the list; see `Driver.update_images`."""
        self._images.update(images)
        self._listed = float("-inf")

    def remove_orphans(self) -> list[str]:
        """Remove the containers of dead workers, and own ones that a failed removal left."""
        removed = []
        with self._engine.session() as client:
            for found in client.api.containers(all=True, filters={"label": OWNER_LABEL}):
                if self._is_orphaned(found["Labels"]):
                    remove_container(client, found["Id"])
                    removed.append(f"container {found['Names'][0].lstrip('/')}")
        return removed

    def close(self) -> None:
        """Close the connections to the engine."""
        self._engine.close()

    def _create(self, model: ModelSpec, token: str) -> DockerServer:
        settings = self._settings
        name = f"straightline-{model.name}-{model.version}-{token}"
        with self._engine.session() as client:
            image = self._images.find(client, model)
            engine_info = client.info()
            with self._choosing:
                chosen = self._devices(client, model, engine_info.get("Runtimes"))
                container = client.containers.create(
                    image,
                    name=name,
                    labels={
                        MODEL_LABEL: model.name,
                        VERSION_LABEL: model.version,
                        _SERVER_LABEL: token,
                        **({gpus.GPUS_LABEL: ",".join(chosen)} if chosen else {}),
                        **self._owner.labels(),
                    },
                    environment={"STRAIGHTLINE_SERVE_BIND": f"0.0.0.0:{settings.container_port}"},
                    **hardening_options(settings, float(engine_info["NCPU"]), model.resources),
                    **gpu_options(engine_info.get("Runtimes"), chosen),
                    **network_options(settings),
                )
        return DockerServer(
            self._engine, str(container.id), f"container {name}", lambda: self._release(token)
        )

    def _devices(self, client: DockerClient, model: ModelSpec, runtimes: object) -> tuple[str, ...]:
        """Choose a container's GPUs, if some are configured and the engine supports them."""
        if not self._gpus or not gpu_options(runtimes):
            return ()
        # The containers of all workers, including those that are not started yet.
        existing = client.api.containers(all=True, filters={"label": gpus.GPUS_LABEL})
        return gpus.choose_gpus(
            self._gpus, [each["Labels"][gpus.GPUS_LABEL] for each in existing], model.resources.gpus
        )

    def _url(self, client: DockerClient, server: DockerServer) -> str:
        found: Mapping[str, Any] = client.api.inspect_container(server.id)["NetworkSettings"]
        port = self._settings.container_port
        if self._settings.container_network:
            address = found["Networks"][self._settings.container_network]["IPAddress"]
            if address:
                return f"http://{address}:{port}"
        elif published := found["Ports"].get(f"{port}/tcp"):
            return f"http://127.0.0.1:{published[0]['HostPort']}"
        ended = server.exit()
        if ended is not None:
            raise exit_fault(server.title, ended)
        raise BackendFault(f"{server.title} has no address", error_class="cold_start_failed")

    def _is_orphaned(self, labels: Mapping[str, str]) -> bool:
        owner = Owner.of_labels(labels)
        if owner is None:
            return False
        if owner == self._owner:
            with self._lock:
                return labels.get(_SERVER_LABEL) not in self._used
        return is_orphan(owner, self._owner)

    def _release(self, token: str) -> None:
        with self._lock:
            self._used.discard(token)
