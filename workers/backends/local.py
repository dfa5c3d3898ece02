"""The local backend: our V2 server on this machine (or near it), at STRAIGHTLINE_LOCAL_URL, and others'."""

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
    """What the local backend reads from the environment.

    Attributes:
        local_url: base URL of the V2 server.
        models_dir: directory of the bundles, which say whose models are external.
    """

    local_url: str
    models_dir: Path


class LocalBackend:
    """Asks V2 servers over HTTP; they are warm as long as they run, so it knows no cold start.

    A model whose deployed `model.toml` has a `url` is asked there, every other one at our own server. A
    request names a model and never a server.

    Args:
        client: of our own server.
        catalogue: what is deployed.
    """

    name: BackendName = "local"
    max_payload: int | None = None

    def __init__(self, client: V2Client, catalogue: Catalogue) -> None:
        self._client = client
        self._external = ExternalServers(external_models(catalogue))
        self._ours = _own_models(catalogue)
        self._models: list[str] | None = None

    def infer(self, model: ModelSpec, body: bytes, timeout: float) -> BackendResponse:
        """Ask the model's server; see `Backend.infer`."""
        started = time.perf_counter()
        ask = self._client.infer if model.url is None else self._external.infer
        answer = ask(model, body, timeout)
        return BackendResponse(body=answer, service=time.perf_counter() - started)

    def health(self) -> Health:
        """Ask whether our own server is ready; where there are external ones, one of all is enough.

        Which models can be asked then, `models` tells: a server that is away takes its own models with it.
        """
        own, found = self._client.ready(), self._external.look()
        if not found:
            self._models = None
            return own
        ready = {name for (name, _), health in found.items() if health.ok}
        self._models = sorted(ready.union(self._ours if own.ok else ()))
        away = [
            f"{name} {version}: {health.reason}" for (name, version), health in found.items() if not health.ok
        ]
        if self._ours and not own.ok:
            away.insert(0, f"our own server: {own.reason}")
        return Health(ok=bool(self._models), reason="; ".join(away) or None)

    def models(self) -> list[str] | None:
        """Return the names of those whose server was ready when the health was asked.

        None without external models: what our own server does not have it refuses, and the request goes
        elsewhere.
        """
        return self._models

    def learn(self, known: RegistryView) -> None:
        """Take what is deployed; see `Backend.learn`."""
        catalogue = known.catalogue()
        self._ours = _own_models(catalogue)
        self._external.learn(external_models(catalogue))

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
    """Make the backend that the environment describes.

    Raises:
        ConfigurationError: STRAIGHTLINE_LOCAL_URL or an external model's `url` is not an HTTP URL, or the
            directory of models cannot be read.
    """
    settings = load(LocalSettings, environ)
    return LocalBackend(V2Client(settings.local_url), read_catalogue(settings.models_dir))
