"""What the commands ask the HTTP gateway; the standard library's client."""

import http.client
import ssl
from collections.abc import Mapping
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from straightline.contracts.http_models import Problem
from straightline.contracts.parsing.decoding import decode
from straightline.errors import (
    ConfigurationError,
    ContractError,
    GatewayUnavailable,
    NoResult,
    NotFound,
    Rejected,
    ResultTimeout,
    SchedulerUnreachable,
    StraightLineError,
)
from straightline.settings import load

T = TypeVar("T")

REQUEST_TIMEOUT_S: Final = 30.0
"""Seconds for one answer."""
MAX_RESPONSE_BYTES: Final = 1024 * 1024 * 1024
"""Bytes of an answer; more is a gateway's fault and must not fill the memory."""
ENDED: Final = ("failed", "expired", "cancelled", "rejected")


class Settings(msgspec.Struct, frozen=True):
    """What these commands read from the environment.

    Attributes:
        gateway_url: `STRAIGHTLINE_GATEWAY_URL`, such as `https://gateway.example`.
        api_key: `STRAIGHTLINE_API_KEY`, which the gateway's operator gives out.
    """

    gateway_url: str
    api_key: str | None = None


class GatewayClient:
    """Asks one gateway.

    Args:
        url: of it.
        key: to it; None sends none.
        patience: seconds for one answer.

    Raises:
        ConfigurationError: `url` is no http or https URL, or `key` cannot be one.
    """

    def __init__(self, url: str, key: str | None, *, patience: float = REQUEST_TIMEOUT_S) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise _no_url() from error
        if (
            parts.scheme not in {"http", "https"}
            or not host
            or parts.query
            or parts.fragment
            or parts.username
        ):
            raise _no_url()
        if key is not None and not (key.isascii() and key.isprintable() and " " not in key):
            raise ConfigurationError(
                "STRAIGHTLINE_API_KEY is no key: it has blanks or characters beyond ASCII"
            )
        self._secure = parts.scheme == "https"
        self._host, self._port = host, port
        self._base = parts.path.rstrip("/")
        self._where = f"{parts.scheme}://{parts.netloc}"
        self._patience = patience
        self._headers = {"Accept": "application/json"}
        if key is not None:
            self._headers["Authorization"] = f"Bearer {key}"

    def get(self, kind: type[T], *path: str, **query: str) -> T:
        """Return an answer of `kind`.

        Args:
            kind: what to read.
            path: below `/v1`, in segments.
            query: after it.

        Raises:
            NotFound, NoResult, ResultTimeout, Rejected: the gateway's problem.
            ConfigurationError: it refuses the key.
            GatewayUnavailable: it cannot be reached, has too much to do, or answers what is no answer.
        """
        return self._read(kind, self.ask("GET", *path, **query))

    def delete(self, kind: type[T], *path: str) -> T:
        """Return the answer of `kind` to a deletion; raises as `get`."""
        return self._read(kind, self.ask("DELETE", *path))

    def ask(self, method: str, *path: str, **query: str) -> bytes:
        """Return the body of an answer; raises as `get`."""
        target = "/".join((f"{self._base}/v1", *(quote(part, safe="") for part in path)))
        if query:
            target += f"?{urlencode(query)}"
        connection = self._connection()
        try:
            connection.request(method, target, headers=self._headers)
            response = connection.getresponse()
            body = response.read(MAX_RESPONSE_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise GatewayUnavailable(
                f"the gateway at {self._where} cannot be asked ({error or type(error).__name__}): is it "
                "started, and is STRAIGHTLINE_GATEWAY_URL right?"
            ) from error
        finally:
            connection.close()
        if response.status >= 300:
            raise self._trouble(response, body)
        return body

    def _connection(self) -> http.client.HTTPConnection:
        if not self._secure:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._patience)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(self._host, self._port, timeout=self._patience, context=context)

    def _read(self, kind: type[T], body: bytes) -> T:
        try:
            return decode(body, kind)
        except ContractError as error:
            raise GatewayUnavailable(
                f"what {self._where} answers cannot be read: {error}; is it StraightLine's gateway, and of "
                "one version with this command?"
            ) from error

    def _trouble(self, response: http.client.HTTPResponse, body: bytes) -> StraightLineError:
        try:
            problem = decode(body, Problem)
        except ContractError:
            problem = Problem()
        status = response.status
        text = problem.detail or problem.title or f"the gateway answered {status} {response.reason}"
        if problem.state in ENDED:
            return NoResult(problem.request_id or "", problem.state, problem.error_class, text)
        if problem.state is not None:
            return ResultTimeout(text, [problem.request_id] if problem.request_id else [])
        if status in {401, 403}:
            return ConfigurationError(f"the gateway refuses the key in STRAIGHTLINE_API_KEY: {text}")
        if status == 404 and problem.type != "about:blank":
            return NotFound(text)
        if status == 429 or status >= 500:
            kind = SchedulerUnreachable if problem.error_class == "nobody_to_ask" else GatewayUnavailable
            return kind(text, problem.retry_after or _seconds(response))
        return Rejected(f"{text} ({self._where} answered {status})")


def open_gateway(environ: Mapping[str, str], *, patience: float = REQUEST_TIMEOUT_S) -> GatewayClient:
    """Return the gateway that the environment names.

    Args:
        environ: the environment.
        patience: seconds for one answer.

    Raises:
        ConfigurationError: it names none, or a wrong one.
    """
    settings = load(Settings, environ)
    return GatewayClient(settings.gateway_url, settings.api_key, patience=patience)


def _seconds(response: Any) -> float | None:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else None


def _no_url() -> ConfigurationError:
    return ConfigurationError("STRAIGHTLINE_GATEWAY_URL must look like https://gateway.example:8000")
