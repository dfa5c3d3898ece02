"""Choice of the gpu-container pool's driver, and the image for its containers."""

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
    """Choose the driver; if it is Docker, build the image of the example.

    If an engine answers but the image cannot be built, the driver is `process`, unless the environment sets
    Docker.

    Args:
        bundle: bundle of the example model.
        screen: shows the step.
        environ: the caller's environment.

    Raises:
        StackError: the environment sets Docker, and the image cannot be built.
    """
    driver = choose_driver(environ)
    if driver.name != "docker" or environ.get("STRAIGHTLINE_CONTAINER_IMAGE"):
        return driver
    # Loaded only if there is an engine: its libraries load slowly.
    from script.docker_engine.model_image import build_image  # noqa: PLC0415

    try:
        with step(screen, "Building the container image of the digits model"):
            built = build_image(bundle, IMAGE, environ)
    except (StackError, StraightLineError) as error:
        if environ.get("STRAIGHTLINE_CONTAINER_DRIVER"):
            raise StackError(f"building the image of the digits model failed: {error}") from error
        first = str(error).partition("\n")[0]
        return Driver("process", f"a Docker engine answers, but building the image failed: {first}")
    return replace(driver, digests=(built,))
