"""A model project: a directory with `model.toml` and the user's Python, and its build directory.

The build directory (`build/` in the project by default) has:

| | |
|---|---|
| `made/` | output of the training |
| `compressed/` | the compressed artifact, if one was accepted |
| `bundle/` | the bundle to package: `model.toml`, the code of a callable, and the files above |
| `training.json`, `metrics.json`, `compression.json` | results of the steps, with digests |
| `train.log`, `validate.log`, `compress.log` | output of the steps |
"""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from model_server.models.bundle import bundle_file, content_files, digest_files, entry_point, read_bundle
from straightline.contracts.model import ModelFile
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ConfigurationError, ContractError
from straightline.models.catalogue import read_model
from straightline.support.atomic_directory import replace_directory

MODEL_FILE: Final = "model.toml"
COMPRESSION: Final = "compression.json"
METRICS: Final = "metrics.json"


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A model project.

    Attributes:
        directory: directory of `model.toml` and the user's Python.
        build: build directory.
        spec: content of `model.toml`.
    """

    directory: Path
    build: Path
    spec: ModelFile

    @property
    def title(self) -> str:
        """Name and version for messages."""
        return f"{self.spec.name} {self.spec.version}"

    @property
    def training_output(self) -> Path:
        """Directory with the output of the training."""
        return self.build / "made"

    @property
    def compressed(self) -> Path:
        """Directory with the compressed artifact."""
        return self.build / "compressed"


class CompressionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a compression, as in `compression.json`.

    Attributes:
        accepted: whether the bundle gets the compressed artifact.
        reason: why it was rejected; empty if accepted.
        source: SHA-256 of the uncompressed artifact.
        bytes_before, bytes_after: sizes of the artifact.
        metric: name of the metric; None if the project has no validation.
        before, after: values of the metric.
    """

    accepted: bool
    reason: str
    source: str
    bytes_before: int
    bytes_after: int
    metric: str | None = None
    before: float | None = None
    after: float | None = None


def read_project(directory: Path, build: Path | None = None) -> Project:
    """Read a project.

    Args:
        directory: directory of `model.toml`.
        build: build directory; None takes `build/` in the project.

    Raises:
        ConfigurationError: `model.toml` is missing or invalid, or names a missing file.
    """
    file = directory.resolve() / MODEL_FILE
    if not file.is_file():
        raise ConfigurationError(
            f"there is no model project in {directory}: it has no {MODEL_FILE}. Create one with "
            "`python -m modelkit new`"
        )
    spec = read_model(file)
    steps = [step for step in (spec.train, spec.validate) if step is not None]
    for entry in (spec.entry, *(step.entry for step in steps)):
        if entry is not None:
            entry_point(file, entry)
    named = [("requirements", spec.requirements), *(("wheels", step.wheels) for step in steps)]
    for member, name in named:
        if name is not None:
            bundle_file(file, member, name)
    return Project(directory=file.parent, build=(build or file.parent / "build").resolve(), spec=spec)


def project_digest(project: Project) -> str:
    """Return the SHA-256 over the project's own files."""
    return digest_files(project.directory, _own_files(project))


def assemble(project: Project, *, artifact: Path | None = None) -> Path:
    """Assemble the bundle from the output of the training and the project's files. It is reproducible.

    Args:
        project: the project.
        artifact: the model's artifact; None takes the compressed one if it was accepted, else the trained
            one.

    Returns:
        The directory of the bundle.

    Raises:
        ConfigurationError: the model is not trained, or the training did not write the artifact.
    """
    if project.spec.train is not None and not project.training_output.is_dir():
        raise ConfigurationError(f"{project.title} is not trained yet. Run `train` first")
    with replace_directory(project.build / "bundle") as fresh:
        shutil.copyfile(project.directory / MODEL_FILE, fresh / MODEL_FILE)
        for name in _served_files(project):
            _copy(project.directory / name, fresh / name)
        if project.training_output.is_dir():
            _copy_training_output(project, fresh)
        if artifact is None and _compression_is_current(project):
            artifact = project.compressed / (project.spec.artifact or "")
        if artifact is not None and project.spec.artifact is not None:
            _copy(artifact, fresh / project.spec.artifact)
        _check_artifact(project, fresh)
        read_bundle(fresh)
    return project.build / "bundle"


def _copy_training_output(project: Project, bundle: Path) -> None:
    for name in content_files(project.training_output):
        if (bundle / name).exists():
            raise ConfigurationError(
                f"the training wrote {name}, which is also a file of the project. Write it under another name"
            )
        _copy(project.training_output / name, bundle / name)


def file_digest(file: Path) -> str:
    """Return the SHA-256 of one file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _check_artifact(project: Project, bundle: Path) -> None:
    artifact = project.spec.artifact
    if artifact is not None and not (bundle / artifact).is_file():
        step = project.spec.train
        hint = f"Let {step.entry} write it into `output`" if step else f"Put it into {project.directory}"
        raise ConfigurationError(f"{project.title} has no {artifact}, which its {MODEL_FILE} names. {hint}")


def trained_artifact(project: Project) -> Path:
    """Return the uncompressed artifact: the output of the training, or a file of the project."""
    name = project.spec.artifact or ""
    return (
        project.training_output / name
        if (project.training_output / name).is_file()
        else project.directory / name
    )


def _compression_is_current(project: Project) -> bool:
    """Return whether the compressed artifact was accepted and belongs to the last training."""
    try:
        record = decode((project.build / COMPRESSION).read_bytes(), CompressionRecord)
        return record.accepted and record.source == file_digest(trained_artifact(project))
    except (OSError, ContractError):
        return False


def _served_files(project: Project) -> Iterator[Path]:
    """Yield the project's files that a bundle gets: the Python of a callable, and named files."""
    spec = project.spec
    if spec.flavour == "python":
        for name in _own_files(project):
            if name.suffix == ".py" and name.parts[0] != "tests":
                yield name
    for named in (spec.requirements, spec.artifact):
        if named is not None and (project.directory / named).is_file():
            yield Path(named)


def _own_files(project: Project) -> Iterator[Path]:
    for name in content_files(project.directory):
        inside_build = (project.directory / name).resolve().is_relative_to(project.build)
        if (
            not inside_build
            and name.parts[0] != "build"
            and not any(part.startswith(".") for part in name.parts)
        ):
            yield name


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
