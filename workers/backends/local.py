"""The local backend: the system's own V2 server at STRAIGHTLINE_LOCAL_URL, and external V2 servers."""

import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from straightline.contracts import ModelSpec
from straightline.models.catalogue import Catalogue, read_catalogue
from straightline.models.registry_view import RegistryView
from straightline.names import Backend as BackendName
from straightline.settings import load
from workers.backends.external import ExternalServers, external_models
from workers.protocol.base import BackendResponse, Health
from workers.protocol.v2_http import V2Client


class LocalSettings(msgspec.Struct, frozen=True):
    """Settings of the local backend, read from the environment.

    Attributes:
        local_url: base URL of the own V2 server.
        models_dir: directory of the bundles, which say which models are external.
    """

    local_url: str
    models_dir: Path


class LocalBackend:
    """Calls V2 servers that run permanently, so it has no cold start.

    A model whose deployed `model.toml` has a `url` is called there, every other model on the own server.
    Requests name a model, never a server.

    Args:
        client: of the own server.
        catalogue: the deployed models.
    """

    name: BackendName = "local"
    max_payload: int | None = None

    def __init__(self, client: V2Client, catalogue: Catalogue) -> None:
        self._client = client
        self._external = ExternalServers(external_models(catalogue))
        self._own_models = _own_models(catalogue)
        self._available: list[str] | None = None

    def infer(self, model: ModelSpec, body: bytes, timeout: float) -> BackendResponse:
        """Call the model's server; see `Backend.infer`."""
        started = time.perf_counter()
        infer = self._client.infer if model.url is None else self._external.infer
        response = infer(model, body, timeout)
        return BackendResponse(body=response, service=time.perf_counter() - started)

    def health(self) -> Health:
        """Return whether any server is ready; see `Backend.health`.

        A server that is down takes only its own models with it: `models` lists the others.
        """
        own, external = self._client.ready(), self._external.probe()
        if not external:
            self._available = None
            return own
        ready = {name for (name, _), health in external.items() if health.ok}
        self._available = sorted(ready.union(self._own_models if own.ok else ()))
        down = [
            f"{name} {version}: {health.reason}"
            for (name, version), health in external.items()
            if not health.ok
        ]
        if self._own_models and not own.ok:
            down.insert(0, f"the own server: {own.reason}")
        return Health(ok=bool(self._available), reason="; ".join(down) or None)

    def models(self) -> list[str] | None:
        """Return the models whose server was ready at the last `health`.

        None without external models: the own server refuses a model that it does not have, and the request is
        placed elsewhere.
        """
        return self._available

    def update_deployments(self, known: RegistryView) -> None:
        """Apply the current deployments; see `Backend.update_deployments`."""
        catalogue = known.catalogue()
        self._own_models = _own_models(catalogue)
        self._external.update(external_models(catalogue))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        self._external.close()


def _own_models(catalogue: Catalogue) -> list[str]:
    return sorted(
        name
        for name, versions in catalogue.models.items()
        if any(spec.url is None for spec in versions.values())
    )


def create(environ: Mapping[str, str]) -> LocalBackend:
    """Return the backend that the environment configures.

    Raises:
        ConfigurationError: STRAIGHTLINE_LOCAL_URL or an external model's `url` is not an HTTP URL, or the
            directory of models cannot be read.
    """
    settings = load(LocalSettings, environ)
    return LocalBackend(V2Client(settings.local_url), read_catalogue(settings.models_dir))
