"""A function's image runs unchanged under AWS's own emulator, as AWS's documentation has it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.types import Mount

from script.docker_engine.model_image import build_image
from tests.integration.containers.conftest import FIRST_TIME
from tests.integration.modelkit.emulator import await_emulator, invoke, provide_emulator
from tests.integration.modelkit.test_model_forms import accuracy, images

pytestmark = [pytest.mark.integration, pytest.mark.docker, FIRST_TIME]

EMULATOR = "/aws-lambda/aws-lambda-rie"


def test_the_function_image_works_confined_under_aws_emulator(
    docker_engine: Mapping[str, str], models_dir: Path
) -> None:
    tag = "straightline-test/digits:1-function"
    build_image(models_dir / "digits" / "1", tag, docker_engine, form="function")
    client = docker.from_env(environment=dict(docker_engine))
    settings = client.images.get(tag).attrs["Config"]
    assert settings["Labels"]["straightline.bundle.digest"].startswith("sha256:")
    options: dict[str, Any] = {  # more exact than the library's types know
        "ports": {"8080/tcp": ("127.0.0.1", None)},
        "tmpfs": {"/tmp": "size=16m"},  # noqa: S108 - inside of the container
    }
    container = client.containers.run(
        tag,
        entrypoint=[EMULATOR, *settings["Entrypoint"]],
        command=settings["Cmd"],
        mounts=[Mount(EMULATOR, str(provide_emulator()), type="bind", read_only=True)],
        cap_drop=["ALL"],
        read_only=True,
        detach=True,
        **options,
    )
    try:
        container.reload()
        published = container.ports["8080/tcp"]
        assert published is not None
        url = f"http://127.0.0.1:{published[0]['HostPort']}"
        await_emulator(url)
        assert accuracy(invoke(url, images(50))) > 0.95
        assert invoke(url, {"inputs": []})["errorType"] == "InvalidInput"
    finally:
        container.remove(force=True)
        client.close()
