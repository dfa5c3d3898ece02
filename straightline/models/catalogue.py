"""The models of a directory of bundles, each `<name>/<version>/model.toml` with its files."""

import re
from pathlib import Path

import msgspec

from straightline.contracts.model import ModelFile, ModelSpec
from straightline.errors import ConfigurationError
from straightline.models.model_file import decode_model_file


class Catalogue(msgspec.Struct, frozen=True):
    """Every version of every model: `models[name][version]`, versions in ascending order."""

    models: dict[str, dict[str, ModelSpec]]

    def find(self, name: str, version: str | None = None) -> ModelSpec | None:
        """Return a version, or the newest for None; None if it does not exist."""
        versions = self.models.get(name)
        if not versions:
            return None
        return versions[next(reversed(versions))] if version is None else versions.get(version)


def read_catalogue(directory: Path) -> Catalogue:
    """Read every bundle under `directory`.

    Raises:
        ConfigurationError: the directory is missing, or a `model.toml` invalid; the message names the file.
    """
    if not directory.is_dir():
        raise ConfigurationError(f"no directory of models at {directory}: set STRAIGHTLINE_MODELS_DIR")
    models: dict[str, dict[str, ModelSpec]] = {}
    for file in sorted(
        directory.glob("*/*/model.toml"), key=lambda path: (path.parts[-3], version_key(path.parts[-2]))
    ):
        spec = read_model(file)
        if (spec.name, spec.version) != file.parts[-3:-1]:
            raise ConfigurationError(
                f"{file} describes {spec.name} {spec.version}: move it to {spec.name}/{spec.version}/"
            )
        models.setdefault(spec.name, {})[spec.version] = spec
    return Catalogue(models)


def read_model(file: Path) -> ModelFile:
    """Read one `model.toml`.

    Raises:
        ConfigurationError: the file is unreadable, or a member invalid, unknown or missing; the message has
            the line.
    """
    try:
        return decode_model_file(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ConfigurationError) as error:
        raise ConfigurationError(f"{file} is invalid: {error}") from error


def version_key(version: str) -> list[tuple[int, int | str]]:
    """Return a sort key that orders versions by their numbers: 9 before 10."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", version) if part]
