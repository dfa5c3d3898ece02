"""A client of the container engine that the environment leads to; its faults in the words of who asks."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import docker
import requests
from docker.errors import APIError, DockerException

from straightline.errors import StraightLineError


@contextmanager
def connected_engine(
    environ: Mapping[str, str] | None, timeout: int, *, error_type: type[StraightLineError], hint: str
) -> Iterator[docker.DockerClient]:
    """Give a client; it is closed at the end of the block.

    Args:
        environ: where DOCKER_HOST stands; None is this process's.
        timeout: seconds without a word from the engine.
        error_type: what is raised where the engine refuses, or does not answer.
        hint: what to do where it does not answer; `{error}` in it is filled in.

    Raises:
        StraightLineError: `error_type`.
    """
    try:
        client = docker.from_env(timeout=timeout, environment=None if environ is None else dict(environ))
        try:
            yield client
        finally:
            client.close()
    except APIError as error:
        raise error_type(f"the container engine refused: {error.explanation or error}") from error
    except (DockerException, requests.exceptions.RequestException) as error:
        raise error_type(f"the container engine does not answer: {hint.format(error=error)}") from error
