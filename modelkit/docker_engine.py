"""Client of the container engine; translates Docker errors into the caller's exception types."""

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
    """Yield a client of the engine, and close it after the block.

    Args:
        environ: environment with DOCKER_HOST; None takes that of this process.
        timeout: seconds of silence after which a call fails.
        error_type: raised if the engine refuses a call or does not answer.
        hint: cause and remedy if it does not answer; `{error}` is replaced by the error.

    Raises:
        StraightLineError: an `error_type`.
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
