"""A bundle: the directory of one version of a model, its `model.toml` and the files beside it."""

import hashlib
import tomllib
from pathlib import Path
from typing import Literal

import msgspec

from straightline.catalogue import read_catalogue, read_model
from straightline.contracts import ModelSpec
from straightline.errors import ConfigurationError

Flavour = Literal["onnx", "python"]


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """A model that can be served.

    Attributes:
        directory: where its files lie.
        spec: its tensors and limits.
        flavour: which runtime it needs.
        artifact: the model's file, for the flavour `onnx`.
        entry: module and callable, for the flavour `python`.
    """

    directory: Path
    spec: ModelSpec
    flavour: Flavour
    artifact: Path | None = None
    entry: tuple[str, str] | None = None


class _Serving(msgspec.Struct, kw_only=True):
    flavour: Flavour
    artifact: str | None = None
    entry: str | None = None


def read_bundle(directory: Path) -> Bundle:
    """Read the bundle in `directory`; the model itself is not loaded.

    Raises:
        ConfigurationError: `model.toml` is missing or wrong, or names a file that is not there.
    """
    file = directory / "model.toml"
    spec = read_model(file)
    try:
        serving = msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), _Serving)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{file} cannot be used: {error}") from error
    bundle = Bundle(directory=directory, spec=spec, flavour=serving.flavour)
    if serving.flavour == "onnx":
        return msgspec.structs.replace(bundle, artifact=_artifact(file, serving.artifact))
    return msgspec.structs.replace(bundle, entry=_entry(file, serving.entry))


def read_bundles(models: Path) -> list[Bundle]:
    """Read every bundle `<name>/<version>/` under `models`, the versions of a model in rising order.

    Raises:
        ConfigurationError: there is none, or one of them is wrong.
    """
    catalogue = read_catalogue(models).models
    bundles = [
        read_bundle(models / name / version) for name, versions in catalogue.items() for version in versions
    ]
    if not bundles:
        raise ConfigurationError(
            f"there is no model under {models}: a bundle is <name>/<version>/model.toml with its files"
        )
    return bundles


def content_digest(directory: Path) -> str:
    """Return the sha256 over the names and contents of a directory's files, in the order of their names.

    Caches of the interpreter do not count: they come and go with its version.
    """
    total = hashlib.sha256()
    for file in sorted(path for path in directory.rglob("*") if path.is_file()):
        name = file.relative_to(directory)
        if "__pycache__" in name.parts:
            continue
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        total.update(f"{name.as_posix()}\0{content}\n".encode())
    return total.hexdigest()


def _artifact(file: Path, artifact: str | None) -> Path:
    if artifact is None:
        raise ConfigurationError(f'{file} has flavour "onnx" and needs artifact = "<file>.onnx"')
    path = file.parent / artifact
    if not path.resolve().is_relative_to(file.parent.resolve()) or not path.is_file():
        raise ConfigurationError(
            f"{file} names the artifact {artifact!r}, which is not a file in its directory"
        )
    return path


def _entry(file: Path, entry: str | None) -> tuple[str, str]:
    module, colon, name = (entry or "").partition(":")
    if not colon or not name.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise ConfigurationError(f'{file} has flavour "python" and needs entry = "module:callable"')
    if not (file.parent / Path(*module.split("."))).with_suffix(".py").is_file():
        raise ConfigurationError(f"{file} names the module {module!r}, which is not in its directory")
    return module, name
