"""The local backend: a V2 server on this machine (or near it), at STRAIGHTLINE_LOCAL_URL."""

import time
from collections.abc import Mapping

import msgspec

from straightline.contracts import ModelSpec
from straightline.names import Backend as BackendName
from straightline.settings import load
from workers.backends.base import Answer, Health
from workers.backends.v2_http import V2Client


class LocalSettings(msgspec.Struct, frozen=True):
    """What the local backend reads from the environment.

    Attributes:
        local_url: base URL of the V2 server.
    """

    local_url: str


class LocalBackend:
    """Asks one V2 server over HTTP; it is warm as long as it runs, so it knows no cold start."""

    name: BackendName = "local"
    max_payload: int | None = None

    def __init__(self, client: V2Client) -> None:
        self._client = client

    def infer(self, model: ModelSpec, body: bytes, timeout: float) -> Answer:
        """Ask the server; see `Backend.infer`."""
        started = time.perf_counter()
        answer = self._client.infer(model, body, timeout)
        return Answer(body=answer, service=time.perf_counter() - started)

    def health(self) -> Health:
        """Ask the server whether it is ready."""
        return self._client.ready()

    def models(self) -> list[str] | None:
        """Return None: what the server does not have it refuses, and the request goes elsewhere."""
        return None

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def create(environ: Mapping[str, str]) -> LocalBackend:
    """Make the backend that the environment describes.

    Raises:
        ConfigurationError: STRAIGHTLINE_LOCAL_URL is missing or not an HTTP URL.
    """
    return LocalBackend(V2Client(load(LocalSettings, environ).local_url))
