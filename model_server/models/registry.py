"""Registry of the loaded models of a server, by name and version."""

from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from model_server.models.engine import Engine
from straightline.errors import StraightLineError
from straightline.models.catalogue import version_key

ModelKey = tuple[str, str]
"""Name and version."""
_NO_ERRORS: Final[Mapping[ModelKey, str]] = MappingProxyType({})


class UnknownModel(StraightLineError):  # noqa: N818 - names a state
    """The model or version is not served here."""


class ModelLoading(StraightLineError):  # noqa: N818 - names a state
    """The model is being loaded. Retry in a moment."""


class Registry:
    """Finds the engine of a model. Its content is replaced atomically, so that threads can read it.

    Args:
        engines: engines of the served models.
    """

    def __init__(self, engines: Iterable[Engine]) -> None:
        self._refresh: Callable[[], None] = lambda: None
        self.replace(engines, _NO_ERRORS)

    def replace(
        self, engines: Iterable[Engine], broken: Mapping[ModelKey, str], loading: Collection[ModelKey] = ()
    ) -> None:
        """Replace the content.

        Args:
            engines: engines of the served models.
            broken: versions that cannot be loaded, with the reason.
            loading: versions that are being loaded.
        """
        fresh: dict[str, dict[str, Engine]] = {}
        for engine in sorted(engines, key=lambda engine: version_key(engine.spec.version)):
            fresh.setdefault(engine.spec.name, {})[engine.spec.version] = engine
        self._engines: Mapping[str, dict[str, Engine]] = fresh
        self._broken = broken
        self._loading = frozenset(loading)

    def refresh_when_unknown(self, refresh: Callable[[], None]) -> None:
        """Call `refresh` before an unknown model is refused, since it may just have been deployed."""
        self._refresh = refresh

    def index(self) -> list[dict[str, str]]:
        """Return every version with its state and, if unavailable, the reason."""
        ready = [
            {"name": name, "version": version, "state": "READY", "reason": ""}
            for name, versions in sorted(self._engines.items())
            for version in versions
        ]
        loading = [
            {"name": name, "version": version, "state": "LOADING", "reason": ""}
            for name, version in sorted(self._loading)
            if version not in self._engines.get(name, ())
        ]
        broken = [
            {"name": name, "version": version, "state": "UNAVAILABLE", "reason": why}
            for (name, version), why in sorted(self._broken.items())
            if (name, version) not in self._loading
        ]
        return [*ready, *loading, *broken]

    def versions(self, name: str) -> list[str]:
        """Return the versions of a model, the newest last."""
        return list(self._engines.get(name, ()))

    def find(self, name: str, version: str | None = None) -> Engine:
        """Return the engine of a version, by default of the newest one.

        Raises:
            UnknownModel: the version is not served.
            ModelLoading: the version is being loaded.
        """
        found = self._find(name, version)
        if found is None:
            self._refresh()
            found = self._find(name, version)
        if found is not None:
            return found
        if any(key[0] == name and version in (None, key[1]) for key in self._loading):
            raise ModelLoading(
                f"model {name} {version or ''}".rstrip() + " is being loaded. Retry in a moment"
            )
        why = self._broken.get((name, version or ""))
        if why is not None:
            raise UnknownModel(f"model {name} {version} is not served: {why}")
        versions = self._engines.get(name)
        if not versions:
            raise UnknownModel(
                f"model {name[:128]!r} is not served here; served models: {sorted(self._engines)}"
            )
        raise UnknownModel(f"model {name} has the versions {list(versions)}, not {(version or '')[:128]!r}")

    def _find(self, name: str, version: str | None) -> Engine | None:
        versions = self._engines.get(name)
        if not versions:
            return None
        return versions[next(reversed(versions))] if version is None else versions.get(version)
