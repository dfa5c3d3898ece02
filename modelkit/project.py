"""A model project: a directory with `model.toml` and the user's Python, and what is made of it.

Below its build directory (`build/` in the project, or another):

| | |
|---|---|
| `made/` | what the training wrote |
| `compressed/` | the compressed artifact, where one was accepted |
| `bundle/` | what is packaged: `model.toml`, the code of a callable, and the files above |
| `training.json`, `metrics.json`, `compression.json` | what the steps found, with digests |
| `train.log`, `validate.log` | what they wrote |
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
    """A directory that a model is made of.

    Attributes:
        directory: where `model.toml` and the Python lie.
        build: where what is made of it goes.
        spec: what `model.toml` says.
    """

    directory: Path
    build: Path
    spec: ModelFile

    @property
    def title(self) -> str:
        """Name and version, for people."""
        return f"{self.spec.name} {self.spec.version}"

    @property
    def training_output(self) -> Path:
        """What the training wrote."""
        return self.build / "made"

    @property
    def compressed(self) -> Path:
        """The compressed artifact."""
        return self.build / "compressed"


class CompressionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a compression gave; `compression.json`.

    Attributes:
        accepted: whether the compressed artifact is taken into the bundle.
        reason: why not; empty where it is.
        source: sha256 of the artifact that it was made of.
        bytes_before, bytes_after: sizes of the artifact.
        metric: the figure that decides; None where the project has none.
        before, after: that figure.
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
    """Read the project in `directory`.

    Args:
        directory: it has a `model.toml`.
        build: where to build; None takes `build/` in the project.

    Raises:
        ConfigurationError: `model.toml` is missing or wrong, or names a file that is not there.
    """
    file = directory.resolve() / MODEL_FILE
    if not file.is_file():
        raise ConfigurationError(
            f"there is no model project in {directory}: it has no {MODEL_FILE}; "
            "`python -m modelkit new` makes one"
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
    """Return the sha256 over the project's own files."""
    return digest_files(project.directory, _own_files(project))


def assemble(project: Project, *, artifact: Path | None = None) -> Path:
    """Make the bundle of what the training wrote and the project's own files; the same gives the same.

    Args:
        project: what to assemble.
        artifact: the file to take as the model's artifact; None takes the compressed one where one was
            accepted, else the trained one.

    Returns:
        The bundle's directory.

    Raises:
        ConfigurationError: the model is not trained yet, or the training wrote not what `model.toml` names.
    """
    if project.spec.train is not None and not project.training_output.is_dir():
        raise ConfigurationError(f"{project.title} is not trained yet: run `train` first")
    with replace_directory(project.build / "bundle") as fresh:
        shutil.copyfile(project.directory / MODEL_FILE, fresh / MODEL_FILE)
        for name in _served_files(project):
            _copy(project.directory / name, fresh / name)
        if project.training_output.is_dir():
            for name in content_files(project.training_output):
                if (fresh / name).exists():
                    raise ConfigurationError(
                        f"the training wrote {name}, which the project has itself: write it under another "
                        "name"
                    )
                _copy(project.training_output / name, fresh / name)
        if artifact is None and _compression_is_current(project):
            artifact = project.compressed / (project.spec.artifact or "")
        if artifact is not None and project.spec.artifact is not None:
            _copy(artifact, fresh / project.spec.artifact)
        _check_artifact(project, fresh)
        read_bundle(fresh)
    return project.build / "bundle"


def file_digest(file: Path) -> str:
    """Return the sha256 of one file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _check_artifact(project: Project, bundle: Path) -> None:
    artifact = project.spec.artifact
    if artifact is not None and not (bundle / artifact).is_file():
        step = project.spec.train
        cure = f"let {step.entry} write it into `output`" if step else f"put it into {project.directory}"
        raise ConfigurationError(f"{project.title} has no {artifact}, which its {MODEL_FILE} names: {cure}")


def trained_artifact(project: Project) -> Path:
    """Return the artifact as the training wrote it, or as it lies in a project without training."""
    name = project.spec.artifact or ""
    return (
        project.training_output / name
        if (project.training_output / name).is_file()
        else project.directory / name
    )


def _compression_is_current(project: Project) -> bool:
    """Whether the compressed artifact was accepted, and was made of what the training wrote last."""
    try:
        record = decode((project.build / COMPRESSION).read_bytes(), CompressionRecord)
        return record.accepted and record.source == file_digest(trained_artifact(project))
    except (OSError, ContractError):
        return False


def _served_files(project: Project) -> Iterator[Path]:
    """Give what a bundle takes of the project: for a callable all its Python, and files that are named."""
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
