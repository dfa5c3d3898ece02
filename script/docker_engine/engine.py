"""Which driver the gpu-container pool is to use: real containers where an engine answers."""

from collections.abc import Mapping
from dataclasses import dataclass

import docker
import docker.errors
import requests


@dataclass(frozen=True)
class Driver:
    """The driver's name, why it was chosen, for people, and the digests of the images that it may run."""

    name: str
    why: str
    digests: tuple[str, ...] = ()


def choose_driver(environ: Mapping[str, str]) -> Driver:
    """Take what the environment says, else Docker where it answers, else child processes.

    This choice is for trying the system out: a deployment says `docker`, which is the default of the pool
    itself, and never falls back.
    """
    given = environ.get("STRAIGHTLINE_CONTAINER_DRIVER")
    if given:
        return Driver(given, "STRAIGHTLINE_CONTAINER_DRIVER says so")
    try:
        client = docker.from_env(timeout=3, environment=dict(environ))
        try:
            version = client.version().get("Version", "of unknown version")
        finally:
            client.close()
    except (docker.errors.DockerException, requests.RequestException, OSError):
        return Driver("process", "no Docker engine answers, so the same server runs as a child process")
    return Driver("docker", f"Docker {version} answers")
