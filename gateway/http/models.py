"""What is deployed, as the gateway tells it; read again when it is some seconds old."""

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from straightline.catalogue import Catalogue, read_catalogue
from straightline.contracts import ModelEntry, ModelSpec
from straightline.errors import ConfigurationError

OLD: Final = 5.0
"""Seconds after which the directory is read again."""


class Models:
    """The catalogue, fresh enough. Thread-safe.

    Args:
        directory: of bundles.

    Raises:
        ConfigurationError: it cannot be read.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._catalogue = read_catalogue(directory)
        self._read_at = time.monotonic()

    def catalogue(self) -> Catalogue:
        """Return what is deployed; what cannot be read now leaves what was known."""
        with self._lock:
            if time.monotonic() - self._read_at > OLD:
                self._read_at = time.monotonic()
                with suppress(ConfigurationError):  # a deployment under way; the next look finds it whole
                    self._catalogue = read_catalogue(self._directory)
            return self._catalogue

    def entries(self) -> list[ModelEntry]:
        """Return every version of every model, by name and rising version."""
        catalogue = self.catalogue()
        return [
            _entry(spec, default=catalogue.find(name) is spec)
            for name, versions in sorted(catalogue.models.items())
            for spec in versions.values()
        ]


def _entry(spec: ModelSpec, *, default: bool) -> ModelEntry:
    return ModelEntry(
        name=spec.name,
        version=spec.version,
        default=default,
        inputs=spec.inputs,
        outputs=spec.outputs,
        backends=spec.backends,
        max_payload=dict(spec.max_payload),
    )
