"""The server form of a bundle: `<models>/<name>/<version>/`, with the packages that the model needs."""

import shutil
from pathlib import Path

from model_server.models.bundle import PACKAGES_DIRECTORY, content_files, read_bundle
from modelkit.wheels import install_wheels
from straightline.errors import ConfigurationError
from straightline.support.atomic_directory import replace_directory


def package_server(bundle: Path, models: Path, *, wheelhouse: Path | None = None) -> Path:
    """Copy the bundle into the model directory, atomically.

    Serve it with `STRAIGHTLINE_MODELS_DIR=<models> gunicorn -c python:model_server.gunicorn_conf
    'model_server.app:create()'`.

    Args:
        bundle: directory of the bundle.
        models: the model directory.
        wheelhouse: directory with the wheels of the model's own requirements, if it has any.

    Returns:
        The directory of the version.

    Raises:
        ConfigurationError: the bundle or the wheelhouse is unusable, or `models` cannot be written.
    """
    spec = read_bundle(bundle).spec
    target = models / spec.name / spec.version
    try:
        models.mkdir(parents=True, exist_ok=True)
        # The scratch directory is not below the name, where readers would take it for a version.
        with replace_directory(target, scratch=models) as fresh:
            copy_bundle(bundle, fresh)
            install_requirements(bundle, fresh / PACKAGES_DIRECTORY, wheelhouse)
    except OSError as error:
        raise ConfigurationError(f"the bundle cannot be written to {models}: {error}") from error
    return target


def copy_bundle(bundle: Path, target: Path) -> None:
    """Copy the files that the digest of a bundle covers."""
    for name in content_files(bundle):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle / name, target / name)


def install_requirements(bundle: Path, target: Path, wheelhouse: Path | None) -> None:
    """Install the model's own requirements, if it has any, into a directory.

    Raises:
        ConfigurationError: a wheel is missing or has another hash.
    """
    requirements = read_bundle(bundle).spec.requirements
    if requirements is None:
        return
    if wheelhouse is None:
        raise ConfigurationError(
            f"the requirements of the model in {bundle} cannot be installed: there is no wheelhouse. Set "
            "--wheelhouse or STRAIGHTLINE_WHEELHOUSE"
        )
    install_wheels([bundle / requirements], wheelhouse, target)
