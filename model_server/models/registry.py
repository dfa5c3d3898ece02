"""The loaded models of a server, by name and version."""

from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from model_server.models.engine import Engine
from straightline.errors import StraightLineError
from straightline.models.catalogue import version_key

ModelKey = tuple[str, str]
"""Name and version."""
_NO_ERRORS: Final[Mapping[ModelKey, str]] = MappingProxyType({})


class UnknownModel(StraightLineError):  # noqa: N818 - it reads as what the caller asked for
    """No model of this name, or version, is served here."""


class ModelLoading(StraightLineError):  # noqa: N818 - it reads as what the caller is told
    """The model is there, and is being loaded: it may be asked for again."""


class Registry:
    """Finds the engine of a model. What it has is replaced as a whole, so that many threads may ask.

    Args:
        engines: of the models that are served.
    """

    def __init__(self, engines: Iterable[Engine]) -> None:
        self._refresh: Callable[[], None] = lambda: None
        self.replace(engines, _NO_ERRORS)

    def replace(
        self, engines: Iterable[Engine], broken: Mapping[ModelKey, str], loading: Collection[ModelKey] = ()
    ) -> None:
        """Serve these from now on.

        Args:
            engines: of the models that are served.
            broken: why others that are there cannot be served.
            loading: which may be served soon.
        """
        fresh: dict[str, dict[str, Engine]] = {}
        for engine in sorted(engines, key=lambda engine: version_key(engine.spec.version)):
            fresh.setdefault(engine.spec.name, {})[engine.spec.version] = engine
        self._engines: Mapping[str, dict[str, Engine]] = fresh
        self._broken = broken
        self._loading = frozenset(loading)

    def refresh_when_unknown(self, refresh: Callable[[], None]) -> None:
        """Have `look` called before a model is refused, since it may have been deployed meanwhile."""
        self._refresh = refresh

    def index(self) -> list[dict[str, str]]:
        """Return every version that is there, whether it is ready, and why not."""
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
        """Return the engine of that version; of the newest where none is asked for.

        Raises:
            UnknownModel: there is none, or it could not be loaded.
            ModelLoading: it is being loaded.
        """
        found = self._find(name, version)
        if found is None:
            self._refresh()
            found = self._find(name, version)
        if found is not None:
            return found
        if any(key[0] == name and version in (None, key[1]) for key in self._loading):
            raise ModelLoading(
                f"model {name} {version or ''}".rstrip() + " is being loaded: ask again in a moment"
            )
        why = self._broken.get((name, version or ""))
        if why is not None:
            raise UnknownModel(f"model {name} {version} is not served: {why}")
        versions = self._engines.get(name)
        if not versions:
            raise UnknownModel(f"model {name[:128]!r} is not served here; these are: {sorted(self._engines)}")
        raise UnknownModel(f"model {name} has the versions {list(versions)}, not {(version or '')[:128]!r}")

    def _find(self, name: str, version: str | None) -> Engine | None:
        versions = self._engines.get(name)
        if not versions:
            return None
        return versions[next(reversed(versions))] if version is None else versions.get(version)
