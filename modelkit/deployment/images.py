"""Deployment of images for the gpu-container pool: build, tag, and test in a container."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from http import HTTPStatus
from typing import Any, Final

import docker
from docker.errors import APIError, ImageNotFound
from docker.utils import parse_repository_tag

from modelkit.deployment.errors import NotPlaced, NotReady
from modelkit.deployment.target import Candidate, DeployedForm
from modelkit.docker_engine import connected_engine
from modelkit.package.dockerfile import ENVIRONMENT, PORT
from modelkit.package.forms import image_name
from straightline.contracts.deployed import DeployedVersion

Build = Callable[[Candidate], tuple[str, str]]
"""Builds the image of a bundle and returns its name and id."""

ENGINE_TIMEOUT_S: Final = 120
_ENGINE_HINT: Final = (
    "{error}. Start it, or set DOCKER_HOST to another one. Without an engine, deploy with --on local "
    "--on serverless"
)
LOG_TAIL_LINES: Final = 15
POLL_INTERVAL_S: Final = 0.3
_READINESS_PROBE: Final = (
    "import sys, urllib.request as r; "
    f"sys.exit(r.urlopen('http://127.0.0.1:{PORT}/v2/health/ready', timeout=2).status != 200)"
)


class ImageTarget:
    """Builds and tests images on a container engine.

    Args:
        build: builds and tags an image.
        environ: environment with DOCKER_HOST.
        ready_timeout: seconds until a container must be ready.
        tag: name of a model's image, with `{model}` and `{version}`.
    """

    def __init__(self, build: Build, environ: Mapping[str, str], ready_timeout: float, *, tag: str) -> None:
        self._build = build
        self._environ = environ
        self._ready_timeout = ready_timeout
        self._tag = tag

    def deploy(self, candidate: Candidate) -> DeployedForm:
        """Build, tag and test the image; see `DeploymentTarget.deploy`."""
        before = self._image_id(image_name(self._tag, candidate.bundle.spec))
        name, ident = self._build(candidate)
        try:
            check_image_starts(ident, candidate.title, self._ready_timeout, self._environ)
        except BaseException:
            # The version may be running: its image gets its name back.
            if before is None:
                self._remove(ident, name)
            elif before != ident:
                self._restore_name(name, before, ident)
            raise
        return DeployedForm(image=ident)

    def remove(self, version: DeployedVersion) -> None:
        """Remove the image from the engine; see `DeploymentTarget.remove`."""
        if version.image is not None:
            self._remove(version.image, image_name(self._tag, version.spec))

    def _image_id(self, name: str) -> str | None:
        """Return the id of the image with this name, or None."""
        with _engine(self._environ) as client:
            try:
                return str(client.images.get(name).id)
            except ImageNotFound:
                return None

    def _restore_name(self, name: str, image: str, other: str) -> None:
        """Give the name back to the image that had it, and remove the other one."""
        repository, tag = parse_repository_tag(name)
        with _engine(self._environ) as client:
            client.api.tag(image, repository, tag)
            if not client.images.get(other).tags:
                _remove_untagged(client, other)

    def _remove(self, image: str, name: str) -> None:
        """Remove a name from an image, and the image with its last name.

        The image may have other names, since the same files build the same image.
        """
        with _engine(self._environ) as client:
            try:
                tags = client.images.get(image).tags
            except ImageNotFound:
                return
            repository, tag = parse_repository_tag(name)
            if f"{repository}:{tag or 'latest'}" in tags:  # the engine lists complete names
                client.images.remove(name, force=True)
            elif not tags:
                _remove_untagged(client, image)


def check_image_starts(image: str, title: str, ready_timeout: float, environ: Mapping[str, str]) -> None:
    """Start a container of the image without a network, wait until its server is ready, and remove it.

    Raises:
        NotReady: the container exited, or was not ready in time.
        NotPlaced: the engine does not answer, or cannot start the container.
    """
    with _engine(environ) as client:
        container = client.containers.create(
            image,
            network_mode="none",
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            tmpfs={"/tmp": "rw,noexec,nosuid,nodev,size=64m,mode=1777"},  # noqa: S108 - the container's own
            pids_limit=256,
            labels={"straightline.trial": title},
        )
        try:
            container.start()
            _wait_ready(container, title, ready_timeout)
        finally:
            container.remove(force=True, v=True)


def _remove_untagged(client: docker.DockerClient, image: str) -> None:
    try:
        client.images.remove(image)
    except APIError as error:
        if error.status_code != HTTPStatus.CONFLICT:  # still in use by a container; pruned later
            raise


def _wait_ready(container: Any, title: str, ready_timeout: float) -> None:
    deadline = time.monotonic() + ready_timeout
    while True:
        container.reload()
        if container.status in ("exited", "dead"):
            code = container.attrs["State"]["ExitCode"]
            raise NotReady(
                f"the image of {title} exits at its start (exit code {code}){_log_tail(container)}"
            )
        if container.status == "running":
            code, _ = container.exec_run([f"{ENVIRONMENT}/bin/python", "-c", _READINESS_PROBE])
            if code == 0:
                return
        if time.monotonic() > deadline:
            raise NotReady(
                f"the image of {title} did not become ready within {ready_timeout:g} s. Fix the model, or "
                f"raise STRAIGHTLINE_DEPLOY_PATIENCE{_log_tail(container)}"
            )
        time.sleep(POLL_INTERVAL_S)


def _log_tail(container: Any) -> str:
    text = container.logs(tail=LOG_TAIL_LINES).decode(errors="replace").strip()
    return f". Its log ends:\n{text}" if text else ""


def _engine(environ: Mapping[str, str]) -> AbstractContextManager[docker.DockerClient]:
    return connected_engine(environ, ENGINE_TIMEOUT_S, error_type=NotPlaced, hint=_ENGINE_HINT)
