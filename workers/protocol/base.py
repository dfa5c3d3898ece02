"""The interface of a backend."""

from typing import Protocol

import msgspec

from straightline.contracts import ModelSpec
from straightline.models.registry_view import RegistryView
from straightline.names import Backend as BackendName


class BackendResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A model's response.

    Attributes:
        body: the V2 infer response as JSON, not yet checked.
        service: seconds from call to response, cold start included.
        cold_start: seconds of `service` spent on starting the backend; None if it was warm.
    """

    body: bytes
    service: float
    cold_start: float | None = None


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a backend can execute requests now; `reason` says for people why not."""

    ok: bool
    reason: str | None = None


class Backend(Protocol):
    """A place where models run, driven by one pool.

    Thread-safe. Constructing one does no I/O: it connects on the first call.

    Attributes:
        name: which of the system's backends it is.
        max_payload: bytes of the largest V2 infer request that it accepts; None without limit.
    """

    name: BackendName
    max_payload: int | None

    def infer(self, model: ModelSpec, body: bytes, timeout: float) -> BackendResponse:
        """Call `model` and wait for its response.

        Args:
            model: the model and its version.
            body: a V2 infer request as JSON.
            timeout: seconds for the whole call, cold start included.

        Raises:
            BackendFault: the backend failed; the request may be placed elsewhere.
            WrongInput: the request does not fit the model.
            ModelError: the model failed on the request.
        """
        ...

    def health(self) -> Health:
        """Return whether it can execute requests, within a second; never raises. Heartbeats call it."""
        ...

    def models(self) -> list[str] | None:
        """Return the names of the models available there; None if it accepts any. Fast, never raises."""
        ...

    def update_deployments(self, known: RegistryView) -> None:
        """Apply the current deployments; fast, called from the registry stream's thread."""
        ...

    def close(self) -> None:
        """Close connections and stop what it started; idempotent."""
        ...
