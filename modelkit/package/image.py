"""Build of a model's Docker image: bundle, serving code and packages, installed without a network."""

import tempfile
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import docker
from docker.errors import ImageNotFound

from model_server.models.bundle import content_digest, read_bundle
from modelkit.docker_engine import connected_engine
from modelkit.package.context import write_context
from modelkit.package.dockerfile import ImageForm, dockerfile
from modelkit.package.function import HANDLER, check_servable
from modelkit.package.requirement_files import REQUIREMENTS
from straightline.errors import StraightLineError

_ENGINE_HINT: Final = "{error}. Start it, or set DOCKER_HOST to another one"
LOG_TAIL_LINES: Final = 25
ENGINE_TIMEOUT_S: Final = 600
"""The engine is silent while packages are installed."""


class ImageBuildFailed(StraightLineError):  # noqa: N818 - the name says it
    """The engine does not answer, or could not build the image; the message has the end of the log."""


def package_image(
    bundle: Path,
    *,
    base: str,
    wheelhouse: Path,
    tag: str,
    requirements: Path = REQUIREMENTS,
    form: ImageForm = "server",
    environ: Mapping[str, str] | None = None,
) -> str:
    """Build the image of a bundle and return its id.

    Nothing is downloaded: the engine must have the base image, and the wheelhouse the wheels for its Python.

    Args:
        bundle: directory of the bundle.
        base: image to build on, with `python3` and the module `venv`.
        wheelhouse: directory with the wheels of all requirements, including the model's own.
        tag: name of the image, by convention `straightline/<model>:<version>`.
        requirements: requirements file with pinned packages; hashes in it are checked.
        form: a V2 server, or a function for AWS Lambda.
        environ: environment with DOCKER_HOST; None takes that of this process.

    Raises:
        ConfigurationError: the bundle, the wheelhouse or a name is unusable.
        ImageBuildFailed: the engine does not answer, has no base image, or a step failed.
    """
    found = read_bundle(bundle)
    check_servable(found)
    spec = found.spec
    text = dockerfile(spec, content_digest(bundle), base, form=form, requirements=spec.requirements)
    handler = HANDLER if form == "function" else None
    with tempfile.TemporaryFile() as context:
        write_context(
            context,
            text,
            bundle,
            wheelhouse,
            requirements,
            own_requirements=spec.requirements,
            handler=handler,
        )
        context.seek(0)
        with connected_engine(
            environ, ENGINE_TIMEOUT_S, error_type=ImageBuildFailed, hint=_ENGINE_HINT
        ) as client:
            _require_base_image(client, base)
            return _image_id(
                client.api.build(
                    fileobj=context,
                    custom_context=True,
                    tag=tag,
                    rm=True,
                    forcerm=True,
                    network_mode="none",
                    decode=True,
                )
            )


def _require_base_image(client: docker.DockerClient, base: str) -> None:
    try:
        client.images.get(base)
    except ImageNotFound as error:
        raise ImageBuildFailed(
            f"the engine has no base image {base}. Pull it, or build one with `script/engine base`"
        ) from error


def _image_id(messages: Iterable[Mapping[str, Any]]) -> str:
    log: deque[str] = deque(maxlen=LOG_TAIL_LINES)
    found = None
    for message in messages:
        log.append(str(message.get("stream") or "").rstrip())
        if "error" in message:
            lines = "\n".join(line for line in log if line)
            raise ImageBuildFailed(
                f"the image could not be built: {message['error']}. The log ends:\n{lines}"
            )
        found = message.get("aux", {}).get("ID", found)
    if found is None:
        raise ImageBuildFailed("the image could not be built: the engine returned no image id")
    return str(found)
