"""Images, for the gpu-container pool: built, tagged, and started once to see whether they become ready."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Final

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound

from modelkit.deployment.errors import NotPlaced, NotReady
from modelkit.deployment.place import Candidate, Placed
from modelkit.package.dockerfile import ENVIRONMENT, PORT
from straightline.contracts.deployed import DeployedVersion

Build = Callable[[Candidate], tuple[str, str]]
"""Builds the image of a bundle, and returns its name and its id."""

_LINES: Final = 15
_AGAIN: Final = 0.3
_LOOK: Final = (
    "import sys, urllib.request as r; "
    f"sys.exit(r.urlopen('http://127.0.0.1:{PORT}/v2/health/ready', timeout=2).status != 200)"
)


class Images:
    """Builds images on an engine and tries them.

    Args:
        build: builds and tags one.
        environ: where DOCKER_HOST stands.
        patience: seconds until one must be ready.
    """

    def __init__(self, build: Build, environ: Mapping[str, str], patience: float) -> None:
        self._build = build
        self._environ = environ
        self._patience = patience

    def put(self, candidate: Candidate) -> Placed:
        """Build, tag and try it; see `Place.put`."""
        name, ident = self._build(candidate)
        try:
            try_image(ident, candidate.title, self._patience, self._environ)
        except NotReady:
            self._remove(name)
            raise
        return Placed(image=ident)

    def take(self, version: DeployedVersion) -> None:
        """Remove its image from the engine; see `Place.take`."""
        if version.image is not None:
            self._remove(version.image)

    def _remove(self, image: str) -> None:
        with _engine(self._environ) as client:
            try:
                found = client.images.get(image)
            except ImageNotFound:
                return
            try:
                client.images.remove(image, force=True)
            except APIError as error:
                if error.status_code != HTTPStatus.CONFLICT:
                    raise
                # A container of it still runs: without its names none starts again, the rest can be pruned.
                for name in found.tags:
                    client.images.remove(name, force=True)


def try_image(image: str, title: str, patience: float, environ: Mapping[str, str]) -> None:
    """Start a container of an image without a network, and return when its server is ready; it is removed.

    Raises:
        NotReady: it ended, or was not ready in time.
        NotPlaced: the engine does not answer, or cannot start it.
    """
    with _engine(environ) as client:
        container = client.containers.run(
            image,
            detach=True,
            network_mode="none",
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            tmpfs={"/tmp": "rw,noexec,nosuid,nodev,size=64m,mode=1777"},  # noqa: S108 - the container's own
            pids_limit=256,
            labels={"straightline.trial": title},
        )
        try:
            _wait_ready(container, title, patience)
        finally:
            container.remove(force=True, v=True)


def _wait_ready(container: Any, title: str, patience: float) -> None:
    deadline = time.monotonic() + patience
    while True:
        container.reload()
        if container.status in ("exited", "dead"):
            code = container.attrs["State"]["ExitCode"]
            raise NotReady(
                f"the image of {title} ends when it is started (exit code {code}){_log(container)}"
            )
        if container.status == "running":
            code, _ = container.exec_run([f"{ENVIRONMENT}/bin/python", "-c", _LOOK])
            if code == 0:
                return
        if time.monotonic() > deadline:
            raise NotReady(
                f"the image of {title} did not become ready within {patience:g} s: correct the model, or "
                f"raise STRAIGHTLINE_DEPLOY_PATIENCE{_log(container)}"
            )
        time.sleep(_AGAIN)


def _log(container: Any) -> str:
    text = container.logs(tail=_LINES).decode(errors="replace").strip()
    return f". Its log ends:\n{text}" if text else ""


@contextmanager
def _engine(environ: Mapping[str, str]) -> Iterator[docker.DockerClient]:
    try:
        client = docker.from_env(environment=dict(environ), timeout=120)
        try:
            yield client
        finally:
            client.close()
    except APIError as error:
        raise NotPlaced(f"the container engine refused: {error.explanation or error}") from error
    except (DockerException, requests.exceptions.RequestException) as error:
        raise NotPlaced(
            f"the container engine does not answer: start it, or set DOCKER_HOST to one that runs ({error}); "
            "without an engine, deploy with --on local --on serverless"
        ) from error
