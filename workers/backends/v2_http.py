"""The Open Inference Protocol (V2) over HTTP, with every way to fail told apart."""

import time
from typing import Final
from urllib.parse import quote

import msgspec
import urllib3
from urllib3.exceptions import (
    HTTPError,
    LocationParseError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    TimeoutError,  # noqa: A004 - urllib3's own, the parent of its time-outs
)

from straightline.contracts import ModelSpec
from straightline.errors import ConfigurationError
from workers import trace
from workers.backends.base import Health
from workers.errors import BackendFault, FaultClass, ModelError, WrongInput

MAX_RESPONSE: Final = 64 * 1024 * 1024
"""Largest answer in bytes that is read."""
CONNECT_TIMEOUT: Final = 2.0
HEALTH_TIMEOUT: Final = 0.9
_READY: Final = "/v2/health/ready"
_CHUNK: Final = 256 * 1024
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


_ERROR: Final = msgspec.json.Decoder(_Error)
_DESCRIPTION: Final = msgspec.json.Decoder(_Description)


class V2Client:
    """Asks one V2 server. Thread-safe; connects when first asked.

    Args:
        base_url: such as `http://127.0.0.1:8080`.
        connections: kept open at most.
        max_response: largest answer in bytes that is read.

    Raises:
        ConfigurationError: `base_url` is not an HTTP URL.
    """

    def __init__(self, base_url: str, *, connections: int = 64, max_response: int = MAX_RESPONSE) -> None:
        try:
            url = urllib3.util.parse_url(base_url)
        except LocationParseError:
            url = None  # the error repeats it
        if url is None or url.scheme not in ("http", "https") or not url.host:
            # Nor is it repeated here: it may hold a password.
            raise ConfigurationError("the model server's URL must look like http://127.0.0.1:8080")
        self._base = base_url.rstrip("/")
        self._max_response = max_response
        self._http = urllib3.PoolManager(num_pools=1, maxsize=connections, retries=False)

    def infer(self, model: ModelSpec, body: bytes, timeout: float, *, versioned: bool = True) -> bytes:
        """Ask and return the answer's body.

        Args:
            model: which model and version.
            body: a V2 infer request as JSON.
            timeout: seconds for the whole call.
            versioned: whether the server knows versions; one that does not is asked for the model alone.

        Raises:
            BackendFault: unreachable, timed_out, throttled, crashed, out_of_memory, too_large, not_deployed
                or bad_protocol.
            WrongInput: the server says that the request does not fit the model.
            ModelError: the server says that the model failed on it.
        """
        status, answer = self._call("POST", f"{_path(model, versioned=versioned)}/infer", body, timeout)
        if status != 200:
            raise _refusal(status, answer)
        return answer

    def ready(self) -> Health:
        """Say whether the server is ready; never raises, and takes a second at most."""
        try:
            return self._ready(_READY)
        except BackendFault as fault:
            return Health(ok=False, reason=str(fault))

    def model_ready(self, model: ModelSpec, *, versioned: bool) -> Health:
        """Say whether the server is ready for that model, in a second at most.

        Raises:
            BackendFault: it does not say.
        """
        return self._ready(f"{_path(model, versioned=versioned)}/ready")

    def versions(self, model: ModelSpec, timeout: float) -> list[str]:
        """Return the versions of the model that the server lists; none where it does not know versions.

        Raises:
            BackendFault: it does not answer, or does not describe the model.
            ModelError: it refuses to.
        """
        status, answer = self._call("GET", _path(model, versioned=False), None, timeout)
        if status != 200:
            raise _refusal(status, answer)
        try:
            return _DESCRIPTION.decode(answer).versions or []
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise BackendFault("its description is not one of V2", error_class="bad_protocol") from error

    def close(self) -> None:
        """Close the connections."""
        self._http.clear()

    def _ready(self, path: str) -> Health:
        status = self._look(path)
        return Health(ok=True) if status == 200 else Health(ok=False, reason=f"not ready: HTTP {status}")

    def _look(self, path: str) -> int:
        deadline = time.monotonic() + HEALTH_TIMEOUT
        try:
            return self._call("GET", path, None, HEALTH_TIMEOUT)[0]
        except BackendFault as fault:
            if fault.error_class != "crashed":
                raise
        # A kept connection may be closed just as it is used again; a look harms nobody a second time.
        return self._call("GET", path, None, deadline - time.monotonic())[0]

    def _call(self, method: str, path: str, body: bytes | None, timeout: float) -> tuple[int, bytes]:
        """Ask once: where the server broke off, it may have died of this request."""
        deadline = time.monotonic() + timeout
        try:
            response = self._open(method, path, body, deadline)
            return response.status, self._read(response, deadline)
        except HTTPError as error:
            raise _fault(error, timeout) from error

    def _open(self, method: str, path: str, body: bytes | None, deadline: float) -> urllib3.BaseHTTPResponse:
        patience = max(0.001, deadline - time.monotonic())
        return self._http.request(
            method,
            self._base + path,
            body=body,
            headers={"Content-Type": "application/json", **trace.now()} if body is not None else None,
            timeout=urllib3.Timeout(connect=min(CONNECT_TIMEOUT, patience), read=patience),
            redirect=False,
            preload_content=False,
        )

    def _read(self, response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
        whole = False
        try:
            answer = self._read_whole(response, deadline)
            whole = True
        finally:
            if whole:
                response.release_conn()
            else:
                response.close()
        return answer

    def _read_whole(self, response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
        if response.headers.get("Content-Encoding", "identity") != "identity":
            # Nothing compressed was asked for, and little of it may hold very much.
            raise BackendFault("the answer is compressed", error_class="bad_protocol")
        chunks: list[bytes] = []
        size = 0
        # What has come, as it comes: waiting for whole chunks would let a dripping answer take for ever.
        while chunk := response.read1(_CHUNK, decode_content=False):
            size += len(chunk)
            if size > self._max_response:
                raise BackendFault(
                    f"the answer is longer than {self._max_response} bytes", error_class="bad_protocol"
                )
            if time.monotonic() > deadline:
                raise BackendFault("the answer did not end in time", error_class="timed_out")
            chunks.append(chunk)
        return b"".join(chunks)


def _path(model: ModelSpec, *, versioned: bool) -> str:
    path = f"/v2/models/{quote(model.name, safe='')}"
    return f"{path}/versions/{quote(model.version, safe='')}" if versioned else path


def _closed(error: ProtocolError) -> bool:
    return any(isinstance(cause, ConnectionResetError | BrokenPipeError) for cause in error.args)


def _refusal(status: int, answer: bytes) -> BackendFault | ModelError:
    try:
        sentence = _ERROR.decode(answer).error or f"HTTP {status}"
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        sentence = f"HTTP {status} without a V2 error"
    if status == _WRONG_INPUT:
        return WrongInput(sentence)
    if status == _MODEL_ERROR:
        return ModelError(sentence)
    word: FaultClass = _FAULTS.get(status, "crashed" if status >= 500 else "bad_protocol")
    return BackendFault(f"the model server refused: {sentence}", error_class=word)


def _fault(error: HTTPError, timeout: float) -> BackendFault:
    word: FaultClass = "bad_protocol"
    sentence = f"the model server's answer cannot be read: {error}"
    if isinstance(error, NewConnectionError):
        word, sentence = "unreachable", "nobody listens at the model server's address"
    elif isinstance(error, ReadTimeoutError):
        word, sentence = "timed_out", f"no answer within {timeout:.3g} s"
    elif isinstance(error, TimeoutError):
        word, sentence = "unreachable", "the model server does not take connections"
    elif isinstance(error, ProtocolError) and _closed(error):
        word, sentence = "crashed", "the model server broke off before it answered"
    return BackendFault(sentence, error_class=word)
