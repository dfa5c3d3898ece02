"""A bundle for a model server: `<models>/<name>/<version>/`, with the packages that the model needs."""

import shutil
from pathlib import Path

from model_server.models.bundle import PACKAGES_DIRECTORY, content_files, read_bundle
from modelkit.wheels import install_wheels
from straightline.errors import ConfigurationError
from straightline.support.atomic_directory import replace_directory


def package_server(bundle: Path, models: Path, *, wheelhouse: Path | None = None) -> Path:
    """Put the bundle under `models`; it appears whole, or not at all.

    A server reads it there: `STRAIGHTLINE_MODELS_DIR=<models> gunicorn -c python:model_server.gunicorn_conf
    'model_server.app:create()'`.

    Args:
        bundle: the bundle's directory.
        models: the directory of models.
        wheelhouse: where the wheels of the model's own requirements lie, if it has any.

    Returns:
        The directory of this version.

    Raises:
        ConfigurationError: the bundle or the wheelhouse cannot be used, or `models` cannot be written.
    """
    spec = read_bundle(bundle).spec
    target = models / spec.name / spec.version
    try:
        models.mkdir(parents=True, exist_ok=True)
        # Beside the names of models, since readers of theirs take each directory within for a version.
        with replace_directory(target, scratch=models) as fresh:
            copy_bundle(bundle, fresh)
            install_requirements(bundle, fresh / PACKAGES_DIRECTORY, wheelhouse)
    except OSError as error:
        raise ConfigurationError(f"the bundle cannot be written to {models}: {error}") from error
    return target


def copy_bundle(bundle: Path, target: Path) -> None:
    """Copy the files that make a bundle what it is, and no others."""
    for name in content_files(bundle):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle / name, target / name)


def install_requirements(bundle: Path, target: Path, wheelhouse: Path | None) -> None:
    """Install what the model needs beside the server's own packages into a directory, if anything.

    Raises:
        ConfigurationError: a wheel is missing or is not the one that the list means.
    """
    requirements = read_bundle(bundle).spec.requirements
    if requirements is None:
        return
    if wheelhouse is None:
        raise ConfigurationError(
            f"the model in {bundle} has requirements of its own: give a directory with their wheels by "
            "--wheelhouse or STRAIGHTLINE_WHEELHOUSE"
        )
    install_wheels([bundle / requirements], wheelhouse, target)
