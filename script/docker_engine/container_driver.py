"""Settling on the gpu-container pool's driver, with the image that real containers are started from."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from rich.console import Console

from script.docker_engine.engine import Driver, choose_driver
from script.support.errors import StackError
from script.support.progress import step
from straightline.errors import StraightLineError

IMAGE: Final = "straightline/digits:1"


def provide_driver(bundle: Path, screen: Console, environ: Mapping[str, str]) -> Driver:
    """Choose the driver; where it is Docker, give the engine the image of the example.

    Where an engine answers but can be given no image, the driver is `process`, unless the environment asked
    for Docker.

    Args:
        bundle: of the example model.
        screen: shows the step.
        environ: the caller's environment.

    Raises:
        StackError: the environment asks for Docker, and the image cannot be built.
    """
    driver = choose_driver(environ)
    if driver.name != "docker" or environ.get("STRAIGHTLINE_CONTAINER_IMAGE"):
        return driver
    # Only where there is an engine: the builder's libraries take their time.
    from script.docker_engine.model_image import build_image  # noqa: PLC0415

    try:
        with step(screen, "Building the container image of the digits model"):
            built = build_image(bundle, IMAGE, environ)
    except (StackError, StraightLineError) as error:
        if environ.get("STRAIGHTLINE_CONTAINER_DRIVER"):
            raise StackError(f"the image of the digits model cannot be built: {error}") from error
        first = str(error).partition("\n")[0]
        return Driver("process", f"an engine answers, but no image could be built for it ({first})")
    return replace(driver, digests=(built,))
