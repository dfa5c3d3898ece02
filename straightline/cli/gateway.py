"""HTTP client of the gateway, on the standard library."""

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
"""Per request."""
MAX_RESPONSE_BYTES: Final = 1024 * 1024 * 1024
"""A larger response is a fault and must not fill the memory."""
ENDED_WITHOUT_RESULT: Final = ("failed", "expired", "cancelled", "rejected")


class Settings(msgspec.Struct, frozen=True):
    """Environment variables of the commands that use the gateway.

    Attributes:
        gateway_url: `STRAIGHTLINE_GATEWAY_URL`, such as `https://gateway.example`.
        api_key: `STRAIGHTLINE_API_KEY`, issued by the gateway's operator.
    """

    gateway_url: str
    api_key: str | None = None


class GatewayClient:
    """Sends requests to one gateway, each on a connection of its own.

    Args:
        url: base URL of the gateway.
        key: API key; None sends none.
        timeout_s: seconds for one request.

    Raises:
        ConfigurationError: `url` is not an http or https URL, or `key` is not a valid header value.
    """

    def __init__(self, url: str, key: str | None, *, timeout_s: float = REQUEST_TIMEOUT_S) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise _invalid_url() from error
        if (
            parts.scheme not in {"http", "https"}
            or not host
            or parts.query
            or parts.fragment
            or parts.username
        ):
            raise _invalid_url()
        if key is not None and not (key.isascii() and key.isprintable() and " " not in key):
            raise ConfigurationError(
                "STRAIGHTLINE_API_KEY is invalid: it contains spaces or non-ASCII characters. Copy it again"
            )
        self._secure = parts.scheme == "https"
        self._host, self._port = host, port
        self._base = parts.path.rstrip("/")
        self._where = f"{parts.scheme}://{parts.netloc}"
        self._timeout_s = timeout_s
        self._headers = {"Accept": "application/json"}
        if key is not None:
            self._headers["Authorization"] = f"Bearer {key}"

    def get(self, kind: type[T], *path: str, **query: str) -> T:
        """Return the response of a GET, decoded as `kind`.

        Args:
            kind: type of the response body.
            path: segments below `/v1`.
            query: query parameters.

        Raises:
            NotFound, NoResult, ResultTimeout, Rejected: the gateway reported a problem.
            ConfigurationError: the gateway refused the key.
            GatewayUnavailable: the gateway is unreachable or overloaded, or its response is malformed.
        """
        return self._read(kind, self.request("GET", *path, **query))

    def delete(self, kind: type[T], *path: str) -> T:
        """Return the response of a DELETE, decoded as `kind`; raises as `get`."""
        return self._read(kind, self.request("DELETE", *path))

    def request(self, method: str, *path: str, **query: str) -> bytes:
        """Return the body of a response; raises as `get`."""
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
                f"the gateway at {self._where} cannot be reached: {error or type(error).__name__}. Check "
                "that it runs and that STRAIGHTLINE_GATEWAY_URL is right"
            ) from error
        finally:
            connection.close()
        if response.status >= 300:
            raise self._error(response, body)
        return body

    def _connection(self) -> http.client.HTTPConnection:
        if not self._secure:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=context)

    def _read(self, kind: type[T], body: bytes) -> T:
        try:
            return decode(body, kind)
        except ContractError as error:
            raise GatewayUnavailable(
                f"the response of {self._where} cannot be read: {error}. Check that it is a StraightLine "
                "gateway of the same version as this command"
            ) from error

    def _error(self, response: http.client.HTTPResponse, body: bytes) -> StraightLineError:
        try:
            problem = decode(body, Problem)
        except ContractError:
            problem = Problem()
        status = response.status
        text = problem.detail or problem.title or f"the gateway answered {status} {response.reason}"
        if problem.state in ENDED_WITHOUT_RESULT:
            return NoResult(problem.request_id or "", problem.state, problem.error_class, text)
        if problem.state is not None:
            return ResultTimeout(text, [problem.request_id] if problem.request_id else [])
        if status in {401, 403}:
            return ConfigurationError(f"the gateway refused STRAIGHTLINE_API_KEY: {text}")
        if status == 404 and problem.type != "about:blank":
            return NotFound(text)
        if status == 429 or status >= 500:
            kind = SchedulerUnreachable if problem.error_class == "nobody_to_ask" else GatewayUnavailable
            return kind(text, problem.retry_after or _retry_after(response))
        return Rejected(f"{text} ({self._where} answered {status})")


def open_gateway(environ: Mapping[str, str], *, timeout_s: float = REQUEST_TIMEOUT_S) -> GatewayClient:
    """Return a client of the gateway that the environment names.

    Args:
        environ: the environment.
        timeout_s: seconds for one request.

    Raises:
        ConfigurationError: a variable is missing or invalid.
    """
    settings = load(Settings, environ)
    return GatewayClient(settings.gateway_url, settings.api_key, timeout_s=timeout_s)


def _retry_after(response: Any) -> float | None:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else None


def _invalid_url() -> ConfigurationError:
    return ConfigurationError(
        "STRAIGHTLINE_GATEWAY_URL is invalid: it must look like https://gateway.example:8000"
    )
