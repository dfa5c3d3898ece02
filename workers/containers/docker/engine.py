"""The connection to the container engine, with its exceptions translated to `BackendFault`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import Final

import docker
import requests
import urllib3
from docker.errors import APIError, DockerException, ImageNotFound

from workers.protocol.errors import BackendFault

_HEALTH_TIMEOUT_S: Final = 1


class Engine:
    """A client of the engine that connects on the first call. Thread-safe.

    Args:
        environ: DOCKER_HOST, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, as Docker's own client reads them.
        timeout: seconds for one call.
    """

    def __init__(self, environ: Mapping[str, str], timeout: int) -> None:
        self._environ = dict(environ)
        self._address = environ.get("DOCKER_HOST") or "the default socket"
        self._timeout = timeout
        self._lock = Lock()
        self._clients: dict[int, docker.DockerClient] = {}

    @contextmanager
    def session(self, *, quick: bool = False) -> Iterator[docker.DockerClient]:
        """Yield a client and translate its exceptions; a `quick` client times out after a second.

        Raises:
            BackendFault: `unreachable` if the engine does not answer, `not_deployed` if it does not have the
                image, `cold_start_failed` if it refuses.
        """
        try:
            yield self._client(_HEALTH_TIMEOUT_S if quick else self._timeout)
        except ImageNotFound as error:
            raise BackendFault(
                f"the engine does not have the image: {error.explanation}", error_class="not_deployed"
            ) from error
        except APIError as error:
            raise BackendFault(
                f"the container engine refused: {error.explanation or error}", error_class="cold_start_failed"
            ) from error
        except (
            DockerException,
            requests.exceptions.RequestException,
            # docker's client does not wrap these while it reads a body.
            urllib3.exceptions.HTTPError,
        ) as error:
            raise BackendFault(
                f"the container engine at {self._address} does not answer: start it, or set DOCKER_HOST to "
                f"one that runs ({type(error).__name__})",
                error_class="unreachable",
            ) from error

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            clients = list(self._clients.values())
            self._clients.clear()
        for client in clients:
            client.close()

    def _client(self, timeout: int) -> docker.DockerClient:
        with self._lock:
            found = self._clients.get(timeout)
        if found is not None:
            return found
        # Outside the lock: this queries the engine's version, and the engine may hang.
        made = docker.from_env(environment=self._environ, timeout=timeout)
        with self._lock:
            kept = self._clients.setdefault(timeout, made)
        if kept is not made:
            made.close()
        return kept
