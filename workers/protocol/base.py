"""What every backend offers to the task that calls it."""

from typing import Protocol

import msgspec

from straightline.contracts import ModelSpec
from straightline.models.registry_view import RegistryView
from straightline.names import Backend as BackendName


class BackendResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What a model answered.

    Attributes:
        body: the V2 infer response as JSON, not yet checked.
        service: seconds from asking to answer, cold start included.
        cold_start: seconds of `service` that went into starting the backend; None where it was warm.
    """

    body: bytes
    service: float
    cold_start: float | None = None


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a backend can answer now, and if not, why (for people)."""

    ok: bool
    reason: str | None = None


class Backend(Protocol):
    """A place where models run, driven by one pool.

    Safe to use from several threads at once. Making one does no I/O: what it needs is opened by the first
    call.

    Attributes:
        name: which of the system's backends it is.
        max_payload: largest V2 infer request in bytes that it takes; None without limit.
    """

    name: BackendName
    max_payload: int | None

    def infer(self, model: ModelSpec, body: bytes, timeout: float) -> BackendResponse:
        """Ask `model` and wait for the answer.

        Args:
            model: which model and version.
            body: a V2 infer request as JSON.
            timeout: seconds for the whole call, cold start included.

        Raises:
            BackendFault: the backend is at fault; the request may be placed elsewhere.
            WrongInput: the request does not fit the model.
            ModelError: the model failed on it.
        """
        ...

    def health(self) -> Health:
        """Say whether it can answer: cheap, at most a second, never raises; called by each heartbeat."""
        ...

    def models(self) -> list[str] | None:
        """Names of the models deployed there; None where it takes any. Cheap, never raises."""
        ...

    def learn(self, known: RegistryView) -> None:
        """Take what is deployed from now on; quick, and called from a thread of its own."""
        ...

    def close(self) -> None:
        """Give back connections and what it started; calling it again does nothing."""
        ...
