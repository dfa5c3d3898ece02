"""Container image of a model: base image, wheels, build."""

from collections.abc import Mapping
from pathlib import Path

import modelkit.wheels
from modelkit.package.dockerfile import ImageForm
from modelkit.package.image import package_image
from modelkit.package.requirement_files import REQUIREMENTS
from script.docker_engine.docker_engine import ROOT, base
from script.support.errors import StackError
from straightline.errors import ConfigurationError


def build_image(
    bundle: Path,
    tag: str,
    environ: Mapping[str, str],
    *,
    form: ImageForm = "server",
    lists: tuple[Path, ...] = (),
    root: Path = ROOT,
) -> str:
    """Build the image of a bundle as `tag` on the engine of `environ` and return its id.

    Base image and wheels are cached in the checkout and the engine; only the first build takes long.

    Args:
        bundle: the bundle's directory.
        tag: the image's name.
        environ: variables that select the engine.
        form: server or function.
        lists: the model's own requirement files.
        root: the checkout.

    Raises:
        StackError: the base image or the wheels cannot be provided.
        StraightLineError: the image cannot be built.
    """
    return package_image(
        bundle,
        base=base(root, environ),
        wheelhouse=provide_wheels(root / ".straightline" / "cache", *lists),
        tag=tag,
        form=form,
        environ=environ,
    )


def provide_wheels(cache: Path, *more: Path) -> Path:
    """Download the wheels of the model server and of `more` requirement files; return the cache directory.

    Raises:
        StackError: they cannot be downloaded.
    """
    try:
        return modelkit.wheels.download_wheels([REQUIREMENTS, *more], cache)
    except ConfigurationError as error:
        raise StackError(str(error)) from error
