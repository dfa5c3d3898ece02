"""External models: servers that are not ours and speak V2, each at the `url` of its deployed `model.toml`."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from straightline.contracts import ModelSpec
from straightline.models.catalogue import Catalogue
from workers.protocol.base import Health
from workers.protocol.errors import BackendFault, ModelError
from workers.protocol.v2_http import HEALTH_TIMEOUT_S, V2Client

_NOT_PROBED: Final = Health(ok=False, reason="it was not looked at yet")
_PROBE_THREADS: Final = 8
"""Threads that look at servers; one that hangs holds one of them for `HEALTH_TIMEOUT_S` at most."""


class ExternalServer:
    """The server of one version of a model. Thread-safe; connects when first asked.

    Some servers know versions, and some do not; their own description of the model says which. A version that
    a server lists is asked for by its name; where it lists none, the model is asked without.

    Raises:
        ConfigurationError: the `url` is not an HTTP URL.
    """

    def __init__(self, model: ModelSpec) -> None:
        self._model = model
        self._client = V2Client(model.url or "")
        self._versioned: bool | None = None

    def infer(self, body: bytes, timeout: float) -> bytes:
        """Ask, and return the answer's body; faults and errors are those of `V2Client.infer`."""
        try:
            return self._client.infer(self._model, body, timeout, versioned=self._knows_versions(timeout))
        except BackendFault as fault:
            if fault.error_class == "not_deployed":
                self._versioned = None  # it may be another server by now
            raise self._told(fault) from fault

    def ready(self) -> Health:
        """Say whether it can answer for the model; never raises, and takes two seconds at most."""
        try:
            return self._client.model_ready(self._model, versioned=self._knows_versions(HEALTH_TIMEOUT_S))
        except (BackendFault, ModelError) as error:
            return Health(ok=False, reason=str(error))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _knows_versions(self, timeout: float) -> bool:
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

    def _told(self, fault: BackendFault) -> BackendFault:
        # Without its address, which may hold a password.
        return BackendFault(
            f"the external server of {self._model.name} {self._model.version}: {fault}",
            error_class=fault.error_class,
        )


class ExternalServers:
    """The servers of all external models of a catalogue.

    Looks at them go on beside the heartbeat that asks for them: a server that hangs delays no heartbeat.
    What is known of a server is as old as the last look at it that ended.

    Args:
        models: the external ones of a catalogue.

    Raises:
        ConfigurationError: a `url` is not an HTTP URL.
    """

    def __init__(self, models: Iterable[ModelSpec]) -> None:
        self._servers: dict[tuple[str, str], ExternalServer] = {}
        self._specs: dict[tuple[str, str], ModelSpec] = {}
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], Health] = {}
        self._looks: dict[tuple[str, str], Future[None]] = {}
        self._threads = ThreadPoolExecutor(_PROBE_THREADS, thread_name_prefix="external")
        self.learn(models)

    def learn(self, models: Iterable[ModelSpec]) -> None:
        """Take the external models from now on; the servers of those that are as before stay connected.

        Raises:
            ConfigurationError: a `url` is not an HTTP URL; then all is as before.
        """
        specs = {(model.name, model.version): model for model in models}
        with self._lock:
            old = self._servers
            servers = {
                key: old[key] if self._specs.get(key) == spec else ExternalServer(spec)
                for key, spec in specs.items()
            }
            self._known = {
                key: self._known[key] if old.get(key) is server else _NOT_PROBED
                for key, server in servers.items()
            }
            self._servers, self._specs = servers, specs
        for key, server in old.items():
            if servers.get(key) is not server:
                server.close()

    def infer(self, model: ModelSpec, body: bytes, timeout: float) -> bytes:
        """Ask the server of a model.

        Raises:
            BackendFault: as `V2Client.infer`; not_deployed for a model that is not known here.
            ModelError: as `V2Client.infer`.
        """
        server = self._servers.get((model.name, model.version))
        if server is None:
            raise BackendFault(
                f"{model.name} {model.version} is no external model of this pool",
                error_class="not_deployed",
            )
        return server.infer(body, timeout)

    def look(self) -> dict[tuple[str, str], Health]:
        """Begin a look at each server, and return what the last ones found, by name and version.

        Does not wait, so that what it returns is one heartbeat old.
        """
        with self._lock:
            for key, server in self._servers.items():
                look = self._looks.get(key)
                if look is None or look.done():
                    self._looks[key] = self._threads.submit(self._see, key, server.ready)
            return dict(self._known)

    def close(self) -> None:
        """End the looks and close the connections."""
        self._threads.shutdown(cancel_futures=True)
        for server in self._servers.values():
            server.close()

    def _see(self, key: tuple[str, str], ready: Callable[[], Health]) -> None:
        found = ready()
        with self._lock:
            if key in self._known:
                self._known[key] = found


def external_models(catalogue: Catalogue) -> list[ModelSpec]:
    """Return the external models of a catalogue, every version."""
    return [spec for versions in catalogue.models.values() for spec in versions.values() if spec.url]
