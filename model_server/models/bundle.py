"""A bundle: the directory of one version of a model, its `model.toml` and the files beside it."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from straightline.contracts.model import Flavour, ModelFile
from straightline.errors import ConfigurationError, StraightLineError
from straightline.models.catalogue import read_catalogue, read_model

PACKAGES_DIRECTORY: Final = ".packages"
"""Where a form that has no installer of its own keeps the model's requirements, beside the bundle's files."""


_DIGEST: Final = re.compile(r"(sha256:)?[0-9a-f]{64}")


class DigestMismatch(StraightLineError):  # noqa: N818 - it reads as what was found
    """A bundle's content is not what its digest says."""


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """A model that can be served.

    Attributes:
        directory: where its files lie.
        spec: its tensors and limits.
        artifact: the model's file; None for the flavour `external`, and where a callable needs none.
        entry: module and callable, for the flavour `python`.
    """

    directory: Path
    spec: ModelFile
    artifact: Path | None = None
    entry: tuple[str, str] | None = None

    @property
    def flavour(self) -> Flavour:
        """Which runtime it needs."""
        return self.spec.flavour


def read_bundle(directory: Path) -> Bundle:
    """Read the bundle in `directory`; the model itself is not loaded.

    Raises:
        ConfigurationError: `model.toml` is missing or wrong, or names a file that is not there.
    """
    file = directory / "model.toml"
    spec = read_model(file)
    if spec.requirements is not None:
        bundle_file(file, "requirements", spec.requirements)
    return Bundle(
        directory=directory,
        spec=spec,
        artifact=None if spec.artifact is None else bundle_file(file, "artifact", spec.artifact),
        entry=None if spec.entry is None else entry_point(file, spec.entry),
    )


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
    """Return the sha256 over the names and contents of a directory's files, in the order of their names."""
    return digest_files(directory, content_files(directory))


def content_files(directory: Path) -> Iterator[Path]:
    """Give the files that make a bundle what it is, relative to its directory, in the order of their names.

    Caches of the interpreter are not among them: they come and go with its version. Nor are the packages
    that were installed beside it, which its list of requirements stands for.
    """
    for file in sorted(path for path in directory.rglob("*") if path.is_file()):
        name = file.relative_to(directory)
        if "__pycache__" not in name.parts and name.parts[0] != PACKAGES_DIRECTORY:
            yield name


def digest_files(directory: Path, names: Iterator[Path]) -> str:
    """Return the sha256 over these names and the contents of their files."""
    total = hashlib.sha256()
    for name in names:
        content = hashlib.sha256((directory / name).read_bytes()).hexdigest()
        total.update(f"{name.as_posix()}\0{content}\n".encode())
    return total.hexdigest()


def check_digest(directory: Path, digest: str) -> None:
    """Do nothing for a bundle of this digest, with or without `sha256:` before it.

    Raises:
        DigestMismatch: it has another one.
        ConfigurationError: the digest is none.
    """
    if not _DIGEST.fullmatch(digest):
        raise ConfigurationError(
            f"{digest[:80]!r} is no digest of a bundle: give all 64 hexadecimal digits that `package` and "
            "`deploy` print, with or without `sha256:` before them"
        )
    found = content_digest(directory)
    if found != digest.removeprefix("sha256:"):
        raise DigestMismatch(
            f"the bundle in {directory} is sha256:{found}, and not {digest}: it was changed after it was "
            "made; make it anew, or give the digest that is meant"
        )


def bundle_file(file: Path, member: str, name: str) -> Path:
    """Return the file that a member of `model.toml` names, which lies in the directory of that.

    Raises:
        ConfigurationError: it does not.
    """
    path = file.parent / name
    if not path.resolve().is_relative_to(file.parent.resolve()) or not path.is_file():
        raise ConfigurationError(
            f"{file} names the {member} {name!r}, which is not a file in its directory: write it, or correct "
            "the name"
        )
    return path


def entry_point(file: Path, entry: str) -> tuple[str, str]:
    """Return module and callable of an entry point of `model.toml`; the module lies beside it.

    Raises:
        ConfigurationError: it does not.
    """
    module, _, name = entry.partition(":")
    if not (file.parent / Path(*module.split("."))).with_suffix(".py").is_file():
        raise ConfigurationError(
            f"{file} names the module {module!r}, which is not in its directory: write {module}.py with "
            f"{name!r} in it, or correct the name"
        )
    return module, name
