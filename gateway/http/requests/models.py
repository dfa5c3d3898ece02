"""The deployed models: those announced, and those in the gateway's directory."""

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from straightline.contracts import ModelEntry, ModelSpec
from straightline.contracts.deployed import Deployed
from straightline.errors import ConfigurationError
from straightline.models.catalogue import Catalogue, read_catalogue, version_key
from straightline.models.registry_view import RegistryView

REFRESH_INTERVAL_S: Final = 5.0


class ModelRegistry:
    """The deployed models, with the directory read again every few seconds. Thread-safe.

    Args:
        directory: directory of bundles.

    Raises:
        ConfigurationError: it cannot be read.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._known = RegistryView(read_catalogue(directory))
        self._catalogue = self._known.catalogue()
        self._read_at = time.monotonic()

    def update(self, deployed: Deployed) -> None:
        """Apply an announcement of the deployed models."""
        with self._lock:
            self._take(self._known.updated(deployed))

    def known(self) -> RegistryView:
        """Return the current view; it stays unchanged while the directory cannot be read."""
        with self._lock:
            self._refresh()
            return self._known

    def catalogue(self) -> Catalogue:
        """Return every version of every model, the default of each last."""
        with self._lock:
            self._refresh()
            return self._catalogue

    def _refresh(self) -> None:
        if time.monotonic() - self._read_at > REFRESH_INTERVAL_S:
            self._read_at = time.monotonic()
            with suppress(ConfigurationError):  # a deployment in progress; the next read finds it complete
                self._take(RegistryView(read_catalogue(self._directory), self._known.deployed))

    def _take(self, known: RegistryView) -> None:
        self._known = known
        self._catalogue = known.catalogue()  # computed once, since every request uses it

    def entries(self) -> list[ModelEntry]:
        """Return every version of every model, by name and rising version."""
        known = self.known()
        return [
            _entry(known, spec)
            for _, versions in sorted(known.catalogue().models.items())
            for spec in sorted(versions.values(), key=lambda spec: version_key(spec.version))
        ]


def _entry(known: RegistryView, spec: ModelSpec) -> ModelEntry:
    model = known.deployed.models.get(spec.name)
    deployed = known.version(spec.name, spec.version)
    return ModelEntry(
        name=spec.name,
        version=spec.version,
        default=known.find(spec.name) is spec,
        share=model.share if model is not None and model.canary == spec.version else None,
        inputs=spec.inputs,
        outputs=spec.outputs,
        backends=spec.backends,
        max_payload=dict(spec.max_payload),
        timeout=spec.timeout,
        digest=None if deployed is None else deployed.digest,
    )
