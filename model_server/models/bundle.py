"""Bundles: the directory of one version of a model, with `model.toml` and its files."""

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
"""Directory of the model's installed requirements, in forms without an installer."""


_DIGEST: Final = re.compile(r"(sha256:)?[0-9a-f]{64}")


class DigestMismatch(StraightLineError):  # noqa: N818 - it reads as what was found
    """The content of a bundle does not have the expected digest."""


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle.

    Attributes:
        directory: directory of its files.
        spec: content of its `model.toml`.
        artifact: file of the model; None for the flavour `external`, and for a callable without one.
        entry: module and callable, for the flavour `python`.
    """

    directory: Path
    spec: ModelFile
    artifact: Path | None = None
    entry: tuple[str, str] | None = None

    @property
    def flavour(self) -> Flavour:
        """Runtime that the model needs."""
        return self.spec.flavour


def read_bundle(directory: Path) -> Bundle:
    """Read a bundle without loading its model.

    Raises:
        ConfigurationError: `model.toml` is missing or invalid, or names a missing file.
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
    """Read all bundles `<name>/<version>/` of a model directory, the versions of a model in ascending order.

    Raises:
        ConfigurationError: there is none, or one of them is invalid.
    """
    catalogue = read_catalogue(models).models
    bundles = [
        read_bundle(models / name / version) for name, versions in catalogue.items() for version in versions
    ]
    if not bundles:
        raise ConfigurationError(
            f"there is no model in {models}. Deploy one, as <name>/<version>/model.toml with its files"
        )
    return bundles


def content_digest(directory: Path) -> str:
    """Return the SHA-256 over the names and contents of `content_files`, in hexadecimal."""
    return digest_files(directory, content_files(directory))


def content_files(directory: Path) -> Iterator[Path]:
    """Yield the files of a bundle that its digest covers, as sorted paths relative to the directory.

    Interpreter caches are left out, and so are installed packages, which the requirements file determines.
    """
    for file in sorted(path for path in directory.rglob("*") if path.is_file()):
        name = file.relative_to(directory)
        if "__pycache__" not in name.parts and name.parts[0] != PACKAGES_DIRECTORY:
            yield name


def digest_files(directory: Path, names: Iterator[Path]) -> str:
    """Return the SHA-256 over these names and the contents of their files, in hexadecimal."""
    total = hashlib.sha256()
    for name in names:
        content = hashlib.sha256((directory / name).read_bytes()).hexdigest()
        total.update(f"{name.as_posix()}\0{content}\n".encode())
    return total.hexdigest()


def check_digest(directory: Path, digest: str) -> None:
    """Check the digest of a bundle.

    Args:
        directory: directory of the bundle.
        digest: 64 hexadecimal digits, with or without `sha256:`.

    Raises:
        DigestMismatch: the bundle has another digest.
        ConfigurationError: `digest` is not a digest.
    """
    if not _DIGEST.fullmatch(digest):
        raise ConfigurationError(
            f"{digest[:80]!r} is not the digest of a bundle. Give the 64 hexadecimal digits that `package` "
            "and `deploy` print, with or without `sha256:`"
        )
    found = content_digest(directory)
    if found != digest.removeprefix("sha256:"):
        raise DigestMismatch(
            f"the bundle in {directory} has the digest sha256:{found}, not {digest}: it has changed since it "
            "was built. Build it again, or correct the digest"
        )


def bundle_file(file: Path, member: str, name: str) -> Path:
    """Return the file of the bundle that a member of `model.toml` names.

    Args:
        file: the `model.toml`.
        member: name of the member, for messages.
        name: path relative to the bundle.

    Raises:
        ConfigurationError: there is no such file in the bundle.
    """
    path = file.parent / name
    if not path.resolve().is_relative_to(file.parent.resolve()) or not path.is_file():
        raise ConfigurationError(
            f"{file} names the {member} {name!r}, which is not a file in its directory. Add it, or correct "
            "the name"
        )
    return path


def entry_point(file: Path, entry: str) -> tuple[str, str]:
    """Return module and callable of an entry point in `model.toml`.

    Raises:
        ConfigurationError: the bundle does not have the module.
    """
    module, _, name = entry.partition(":")
    if not (file.parent / Path(*module.split("."))).with_suffix(".py").is_file():
        raise ConfigurationError(
            f"{file} names the module {module!r}, which is not in its directory. Add {module}.py with "
            f"{name!r}, or correct the name"
        )
    return module, name
