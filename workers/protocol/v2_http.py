"""A client of the Open Inference Protocol (V2) over HTTP, which classifies each failure."""

import time
from typing import Final
from urllib.parse import quote

import msgspec

from straightline.contracts import ModelSpec
from straightline.contracts.faults import FaultClass
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError
from workers.protocol import trace
from workers.protocol.base import Health
from workers.protocol.errors import BackendFault, ModelError, WrongInput
from workers.protocol.http_client import HttpClient

MAX_RESPONSE_BYTES: Final = 64 * 1024 * 1024
"""Largest response body that is read."""
HEALTH_TIMEOUT_S: Final = 0.9
_READY: Final = "/v2/health/ready"
_FAULTS: Final[dict[int, FaultClass]] = {
    404: "not_deployed",
    408: "timed_out",
    413: "too_large",
    429: "throttled",
    503: "throttled",
    504: "timed_out",
    507: "out_of_memory",
}
_WRONG_INPUT: Final = 400
_MODEL_ERROR: Final = 422


class _Error(msgspec.Struct):
    error: str = ""


class _Description(msgspec.Struct):
    versions: list[str] | None = None


class V2Client:
    """Calls one V2 server. Thread-safe; connects on the first call.

    Args:
        base_url: such as `http://127.0.0.1:8080`.
        connections: number of idle connections kept.
        max_response: bytes of the largest response that is read.

    Raises:
        ConfigurationError: `base_url` is not an HTTP URL.
    """

    def __init__(
        self, base_url: str, *, connections: int = 64, max_response: int = MAX_RESPONSE_BYTES
    ) -> None:
        self._http = HttpClient(base_url, connections=connections, max_response=max_response)

    def infer(self, model: ModelSpec, body: bytes, timeout: float, *, versioned: bool = True) -> bytes:
        """Call the model, and return the response's body.

        Args:
            model: the model and its version.
            body: a V2 infer request as JSON.
            timeout: seconds for the whole call.
            versioned: whether the server has versions; else the path names the model alone.

        Raises:
            BackendFault: unreachable, timed_out, throttled, crashed, out_of_memory, too_large, not_deployed
                or bad_protocol.
            WrongInput: the server reports that the request does not fit the model.
            ModelError: the server reports that the model failed on it.
        """
        status, response = self._call("POST", f"{_path(model, versioned=versioned)}/infer", body, timeout)
        if status != 200:
            raise _error_of(status, response)
        return response

    def ready(self) -> Health:
        """Return whether the server is ready, within a second; never raises."""
        try:
            return self._ready(_READY)
        except BackendFault as fault:
            return Health(ok=False, reason=str(fault))

    def model_ready(self, model: ModelSpec, *, versioned: bool) -> Health:
        """Return whether the server is ready for that model, within a second.

        Raises:
            BackendFault: the server does not answer.
        """
        return self._ready(f"{_path(model, versioned=versioned)}/ready")

    def versions(self, model: ModelSpec, timeout: float) -> list[str]:
        """Return the versions of the model that the server lists; empty if it has no versions.

        Raises:
            BackendFault: the server does not answer, or does not describe the model.
            ModelError: the server refuses with an error of the model.
        """
        status, response = self._call("GET", _path(model, versioned=False), None, timeout)
        if status != 200:
            raise _error_of(status, response)
        try:
            return decode(response, _Description).versions or []
        except ContractError as error:
            raise BackendFault(
                "the server's description of the model is not V2", error_class="bad_protocol"
            ) from error

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _ready(self, path: str) -> Health:
        status = self._get(path)
        return Health(ok=True) if status == 200 else Health(ok=False, reason=f"not ready: HTTP {status}")

    def _get(self, path: str) -> int:
        deadline = time.monotonic() + HEALTH_TIMEOUT_S
        try:
            return self._call("GET", path, None, HEALTH_TIMEOUT_S)[0]
        except BackendFault as fault:
            if fault.error_class != "crashed":
                raise
        # The server may have closed an idle connection just as it is reused; a second GET does no harm.
        return self._call("GET", path, None, deadline - time.monotonic())[0]

    def _call(self, method: str, path: str, body: bytes | None, timeout: float) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json", **trace.current_headers()} if body is not None else {}
        return self._http.request(method, path, body, headers, timeout)


def _path(model: ModelSpec, *, versioned: bool) -> str:
    path = f"/v2/models/{quote(model.name, safe='')}"
    return f"{path}/versions/{quote(model.version, safe='')}" if versioned else path


def _error_of(status: int, response: bytes) -> BackendFault | ModelError:
    try:
        sentence = decode(response, _Error).error or f"HTTP {status}"
    except ContractError:
        sentence = f"HTTP {status} without a V2 error"
    if status == _WRONG_INPUT:
        return WrongInput(sentence)
    if status == _MODEL_ERROR:
        return ModelError(sentence)
    word: FaultClass = _FAULTS.get(status, "crashed" if status >= 500 else "bad_protocol")
    return BackendFault(f"the model server returned an error: {sentence}", error_class=word)
