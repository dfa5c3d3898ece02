"""External models: V2 servers of others, each at the `url` in its model's deployed `model.toml`."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from straightline.contracts import ModelSpec
from straightline.models.catalogue import Catalogue
from workers.protocol.base import Health
from workers.protocol.errors import BackendFault, ModelError
from workers.protocol.v2_http import HEALTH_TIMEOUT_S, V2Client

_NOT_PROBED: Final = Health(ok=False, reason="not probed yet")
_PROBE_THREADS: Final = 8
"""Parallel health probes; a server that hangs occupies a thread for `HEALTH_TIMEOUT_S` at most."""


class ExternalServer:
    """The server of one version of a model. Thread-safe; connects on the first call.

    A server's description of the model lists its versions, if it has any. A listed version is called by its
    name; if none is listed, the model is called without a version.

    Raises:
        ConfigurationError: the `url` is not an HTTP URL.
    """

    def __init__(self, model: ModelSpec) -> None:
        self._model = model
        self._client = V2Client(model.url or "")
        self._versioned: bool | None = None

    def infer(self, body: bytes, timeout: float) -> bytes:
        """Call the model, and return the response's body; raises as `V2Client.infer`."""
        try:
            return self._client.infer(self._model, body, timeout, versioned=self._has_versions(timeout))
        except BackendFault as fault:
            if fault.error_class == "not_deployed":
                self._versioned = None  # another server may run there by now
            raise self._named(fault) from fault

    def ready(self) -> Health:
        """Return whether it is ready for the model, within two seconds; never raises."""
        try:
            return self._client.model_ready(self._model, versioned=self._has_versions(HEALTH_TIMEOUT_S))
        except (BackendFault, ModelError) as error:
            return Health(ok=False, reason=str(error))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _has_versions(self, timeout: float) -> bool:
        if self._versioned is None:
            versions = self._client.versions(self._model, min(timeout, HEALTH_TIMEOUT_S))
            if versions and self._model.version not in versions:
                raise BackendFault(
                    f"it has the versions {versions[:8]}, model.toml says {self._model.version!r}: deploy it "
                    "with one of them",
                    error_class="not_deployed",
                )
            self._versioned = bool(versions)
        return self._versioned

    def _named(self, fault: BackendFault) -> BackendFault:
        # Without its URL, which may hold a password.
        return BackendFault(
            f"the external server of {self._model.name} {self._model.version}: {fault}",
            error_class=fault.error_class,
        )


class ExternalServers:
    """The servers of all external models of a catalogue.

    Health probes run beside the heartbeat that requests them, so a server that hangs delays no heartbeat. A
    server's health is that of the last probe that ended.

    Args:
        models: the external models of a catalogue.

    Raises:
        ConfigurationError: a `url` is not an HTTP URL.
    """

    def __init__(self, models: Iterable[ModelSpec]) -> None:
        self._servers: dict[tuple[str, str], ExternalServer] = {}
        self._specs: dict[tuple[str, str], ModelSpec] = {}
        self._lock = threading.Lock()
        self._health: dict[tuple[str, str], Health] = {}
        self._probes: dict[tuple[str, str], Future[None]] = {}
        self._threads = ThreadPoolExecutor(_PROBE_THREADS, thread_name_prefix="external")
        self.update(models)

    def update(self, models: Iterable[ModelSpec]) -> None:
        """Replace the external models; the servers of unchanged ones stay connected.

        Raises:
            ConfigurationError: a `url` is not an HTTP URL; nothing is changed then.
        """
        specs = {(model.name, model.version): model for model in models}
        with self._lock:
            old = self._servers
            servers = {
                key: old[key] if self._specs.get(key) == spec else ExternalServer(spec)
                for key, spec in specs.items()
            }
            self._health = {
                key: self._health[key] if old.get(key) is server else _NOT_PROBED
                for key, server in servers.items()
            }
            self._servers, self._specs = servers, specs
        for key, server in old.items():
            if servers.get(key) is not server:
                server.close()

    def infer(self, model: ModelSpec, body: bytes, timeout: float) -> bytes:
        """Call a model's server.

        Raises:
            BackendFault: as `V2Client.infer`; not_deployed for a model that is not external here.
            ModelError: as `V2Client.infer`.
        """
        server = self._servers.get((model.name, model.version))
        if server is None:
            raise BackendFault(
                f"{model.name} {model.version} is not an external model of this pool: deploy it",
                error_class="not_deployed",
            )
        return server.infer(body, timeout)

    def probe(self) -> dict[tuple[str, str], Health]:
        """Start a probe of each server, and return the last known health by name and version.

        Does not wait: the returned health is one heartbeat old.
        """
        with self._lock:
            for key, server in self._servers.items():
                running = self._probes.get(key)
                if running is None or running.done():
                    self._probes[key] = self._threads.submit(self._probe_one, key, server.ready)
            return dict(self._health)

    def close(self) -> None:
        """Stop the probes and close the connections."""
        self._threads.shutdown(cancel_futures=True)
        for server in self._servers.values():
            server.close()

    def _probe_one(self, key: tuple[str, str], ready: Callable[[], Health]) -> None:
        health = ready()
        with self._lock:
            if key in self._health:
                self._health[key] = health


def external_models(catalogue: Catalogue) -> list[ModelSpec]:
    """Return all versions of the external models of a catalogue."""
    return [spec for versions in catalogue.models.values() for spec in versions.values() if spec.url]
