"""The models that the pool can execute: its directory of bundles, and the announced deployments."""

import threading
from collections.abc import Callable
from typing import Final

from straightline.contracts import ModelSpec
from straightline.contracts.deployed import Deployed
from straightline.models.catalogue import Catalogue
from straightline.models.registry_view import RegistryView
from straightline.support.event_log import EventLogger

VERSION_TIMEOUT_S: Final = 2.0
"""How long a placement waits for a version whose announcement has reached the scheduler but not this pool."""

logger = EventLogger(__name__)


class ModelRegistryView:
    """The current models, with a listener for changes. Thread-safe.

    Args:
        directory: the bundles in the pool's directory.
        version_timeout: seconds to wait for an unknown version.
    """

    def __init__(self, directory: Catalogue, *, version_timeout: float = VERSION_TIMEOUT_S) -> None:
        self._known = RegistryView(directory)
        self._version_timeout = version_timeout
        self._changed = threading.Condition()
        self._listener: Callable[[RegistryView], None] = lambda _: None

    def on_change(self, listener: Callable[[RegistryView], None]) -> None:
        """Call `listener` with the models, now and after each change."""
        self._listener = listener
        listener(self._known)

    def update(self, deployed: Deployed) -> None:
        """Apply an announcement."""
        with self._changed:
            self._known = known = self._known.updated(deployed)
            self._changed.notify_all()
        try:
            self._listener(known)
        # A model that the backend cannot use must not stop the stream's reader.
        except Exception:
            logger.exception("deployment_not_applied")

    def find(self, name: str, version: str | None) -> ModelSpec | None:
        """Return a model; wait for an unknown version up to the timeout, then return None."""
        found = self._known.find(name, version)
        if found is not None:
            return found
        with self._changed:
            self._changed.wait_for(lambda: self._known.find(name, version) is not None, self._version_timeout)
        return self._known.find(name, version)
