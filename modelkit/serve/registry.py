"""The loaded models of a server, by name and version."""

from collections.abc import Iterable

from modelkit.serve.engine import Engine
from straightline.errors import StraightLineError


class UnknownModel(StraightLineError):  # noqa: N818 - it reads as what the caller asked for
    """No model of this name, or version, is served here."""


class Registry:
    """Finds the engine of a model; it does not change once it is made.

    The engines of one model are given in the order of their versions, the newest last.
    """

    def __init__(self, engines: Iterable[Engine]) -> None:
        self._engines: dict[str, dict[str, Engine]] = {}
        for engine in engines:
            self._engines.setdefault(engine.spec.name, {})[engine.spec.version] = engine

    def versions(self, name: str) -> list[str]:
        """Return the versions of a model, the newest last."""
        return list(self._engines.get(name, ()))

    def find(self, name: str, version: str | None = None) -> Engine:
        """Return the engine of that version; of the newest where none is asked for.

        Raises:
            UnknownModel: there is none.
        """
        versions = self._engines.get(name)
        if not versions:
            raise UnknownModel(f"model {name[:128]!r} is not served here; these are: {sorted(self._engines)}")
        found = versions[next(reversed(versions))] if version is None else versions.get(version)
        if found is None:
            raise UnknownModel(
                f"model {name} has the versions {list(versions)}, not {(version or '')[:128]!r}"
            )
        return found
