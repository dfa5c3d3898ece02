"""The models that a pool knows: those of its directory, and what is deployed."""

import logging
import threading
from collections.abc import Callable
from typing import Final

from straightline.contracts import ModelSpec
from straightline.contracts.deployed import Deployed
from straightline.models.catalogue import Catalogue
from straightline.models.registry_view import RegistryView

VERSION_TIMEOUT_S: Final = 2.0
"""Seconds that a placement waits for a version of which this pool has not heard yet: the scheduler has."""

logger = logging.getLogger(__name__)


class ModelRegistryView:
    """What is known, and who wants to know of changes. Thread-safe.

    Args:
        directory: of the pool.
        patience: seconds to wait for a version that is not known.
    """

    def __init__(self, directory: Catalogue, *, patience: float = VERSION_TIMEOUT_S) -> None:
        self._known = RegistryView(directory)
        self._patience = patience
        self._changed = threading.Condition()
        self._listener: Callable[[RegistryView], None] = lambda _: None

    def on_change(self, listener: Callable[[RegistryView], None]) -> None:
        """Have `listener` told of what is known, now and after each change."""
        self._listener = listener
        listener(self._known)

    def learn(self, deployed: Deployed) -> None:
        """Take an announcement."""
        with self._changed:
            self._known = known = self._known.updated(deployed)
            self._changed.notify_all()
        try:
            self._listener(known)
        # One model that the backend cannot take must not end the reading of the stream.
        except Exception:
            logger.exception("the backend could not take what is deployed")

    def find(self, name: str, version: str | None) -> ModelSpec | None:
        """Return a model; one that is not known is waited for a moment: the scheduler heard of it."""
        found = self._known.find(name, version)
        if found is not None:
            return found
        with self._changed:
            self._changed.wait_for(lambda: self._known.find(name, version) is not None, self._patience)
        return self._known.find(name, version)
