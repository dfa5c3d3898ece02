"""Choice between Docker and child processes for the gpu-container pool."""

from collections.abc import Mapping
from dataclasses import dataclass

import docker
import docker.errors
import requests


@dataclass(frozen=True)
class Driver:
    """A driver's name, the reason of its choice, and the digests of the images that it may run."""

    name: str
    why: str
    digests: tuple[str, ...] = ()


def choose_driver(environ: Mapping[str, str]) -> Driver:
    """Return the driver of the environment, otherwise Docker if an engine answers, otherwise child processes.

    The fallback is for trials only: the pool's own default is `docker`, and it never falls back.
    """
    given = environ.get("STRAIGHTLINE_CONTAINER_DRIVER")
    if given:
        return Driver(given, "set by STRAIGHTLINE_CONTAINER_DRIVER")
    try:
        client = docker.from_env(timeout=3, environment=dict(environ))
        try:
            version = client.version().get("Version", "of unknown version")
        finally:
            client.close()
    except (docker.errors.DockerException, requests.RequestException, OSError):
        return Driver("process", "no Docker engine answers, so the same model server runs as a child process")
    return Driver("docker", f"Docker {version}")
