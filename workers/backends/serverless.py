"""The serverless backend: AWS Lambda's Invoke API, on AWS or at AWS_ENDPOINT_URL_LAMBDA."""

import base64
import json
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import boto3.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from straightline.contracts import ModelSpec
from straightline.contracts.faults import FaultClass
from straightline.errors import ConfigurationError
from straightline.models.registry_view import RegistryView
from straightline.names import Backend as BackendName
from workers.backends.lambda_errors import api_error, cold_start_seconds, function_error
from workers.protocol import trace
from workers.protocol.base import BackendResponse, Health
from workers.protocol.errors import BackendFault

MAX_PAYLOAD_BYTES: Final = 6_291_456
"""Lambda's quota for the event of a synchronous invocation."""
CONNECT_TIMEOUT_S: Final = 2.0
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
PROBE_TIMEOUT_S: Final = 0.9
PROBE_INTERVAL_S: Final = 5.0
READ_TIMEOUTS_S: Final = (1, 2, 5, 10, 15, 20, 30, 45, 60, 120, 300, 900)
"""botocore sets the timeout by client, so there is one client for each of these."""
_BROKEN: Final = (ConnectionClosedError, IncompleteReadError, ResponseStreamingError)


class LambdaBackend:
    """Invokes a model's function and waits for the response. Thread-safe.

    Args:
        session: with region, credentials and endpoint, from the environment or the machine's role.
    """

    name: BackendName = "serverless"
    max_payload: int | None = MAX_PAYLOAD_BYTES

    def __init__(self, session: boto3.session.Session) -> None:
        self._session = session
        self._clients: dict[int, Any] = {}
        self._lock = threading.Lock()  # sessions are not thread-safe; clients are
        self._probed: tuple[float, Health] | None = None
        self._known: RegistryView | None = None
        client = session.client("lambda")
        self._endpoint = urlsplit(client.meta.endpoint_url)
        client.close()

    def infer(self, model: ModelSpec, body: bytes, timeout: float) -> BackendResponse:
        """Invoke the model's function; see `Backend.infer`."""
        started = time.perf_counter()
        try:
            response = self._client(timeout).invoke(
                FunctionName=self._function(model),
                InvocationType="RequestResponse",
                LogType="Tail",
                Payload=body,
                **_context(),
            )
            payload: bytes = response["Payload"].read()
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            details = error.response.get("Error", {})
            raise api_error(details.get("Code", ""), status, details.get("Message", "")) from error
        except (BotoCoreError, OSError) as error:
            self._probed = None
            raise _invocation_fault(error) from error
        log = base64.b64decode(response.get("LogResult", "")).decode(errors="replace")
        if response.get("FunctionError"):
            raise function_error(payload, log)
        return BackendResponse(
            body=payload, service=time.perf_counter() - started, cold_start=cold_start_seconds(log)
        )

    def health(self) -> Health:
        """Return whether the endpoint accepts connections; probed every few seconds, and after a fault."""
        probed = self._probed
        now = time.monotonic()
        if probed is None or now - probed[0] > PROBE_INTERVAL_S or not probed[1].ok:
            probed = self._probed = (now, self._probe())
        return probed[1]

    def models(self) -> list[str] | None:
        """Return None: a call of a missing function is refused, and the request is placed elsewhere."""
        return None

    def update_deployments(self, known: RegistryView) -> None:
        """Apply the functions of the deployed versions; see `Backend.update_deployments`."""
        self._known = known

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            clients, self._clients = self._clients, {}
        for client in clients.values():
            client.close()

    def _function(self, model: ModelSpec) -> str:
        """Return a version's function; for a version that is not deployed, that of its model."""
        found = self._known.version(model.name, model.version) if self._known is not None else None
        return (found and found.function) or function_name(model.name)

    def _client(self, timeout: float) -> Any:
        seconds = next((step for step in READ_TIMEOUTS_S if step >= timeout), READ_TIMEOUTS_S[-1])
        with self._lock:
            if seconds not in self._clients:
                self._clients[seconds] = self._session.client(
                    "lambda",
                    config=Config(
                        connect_timeout=CONNECT_TIMEOUT_S,
                        read_timeout=seconds,
                        max_pool_connections=64,
                        # A proxy from the environment cannot reach this machine.
                        proxies={} if self._endpoint.hostname in LOOPBACK else None,
                        retries={"total_max_attempts": 1},  # only the scheduler retries
                    ),
                )
            return self._clients[seconds]

    def _probe(self) -> Health:
        address = (self._endpoint.hostname, self._endpoint.port or 443)
        try:
            socket.create_connection(address, timeout=PROBE_TIMEOUT_S).close()
        except OSError as error:
            return Health(ok=False, reason=f"cannot connect to Lambda's endpoint: {error}")
        return Health(ok=True)


def function_name(model: str) -> str:
    """Return the name of the function of a model."""
    return f"straightline-{model.replace('.', '-')}"


def _context() -> dict[str, str]:
    """Return the current call's trace as Lambda's client context, which travels beside the payload."""
    custom = dict(trace.current_headers())
    if not custom:
        return {}
    return {"ClientContext": base64.b64encode(json.dumps({"custom": custom}).encode()).decode()}


def create(environ: Mapping[str, str]) -> LambdaBackend:  # noqa: ARG001 - boto3 reads the process's own
    """Return the backend that the environment configures, as boto3 reads it.

    Raises:
        ConfigurationError: boto3 has no region, or its endpoint is not a URL.
    """
    try:
        return LambdaBackend(boto3.session.Session())
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(
            f"cannot configure the serverless pool: {error}. set AWS_DEFAULT_REGION, and "
            "AWS_ENDPOINT_URL_LAMBDA if the functions do not run on AWS"
        ) from error


def _invocation_fault(error: Exception) -> BackendFault:
    word: FaultClass = "unreachable"
    if isinstance(error, ReadTimeoutError):
        word = "timed_out"
    elif isinstance(error, (EndpointConnectionError, ConnectTimeoutError)):
        word = "unreachable"
    elif isinstance(error, _BROKEN):
        word = "crashed"
    elif isinstance(error, HTTPClientError):
        word = "bad_protocol"
    return BackendFault(f"cannot invoke the function: {error}", error_class=word)
