"""The client of AWS Lambda's API, at AWS_ENDPOINT_URL_LAMBDA if set, and its errors."""

import math
from typing import Any, Final
from urllib.parse import urlsplit

import boto3.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from straightline.errors import ConfigurationError

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
CALL_TIMEOUT_S: Final = 60
"""For calls other than invocations, which may upload a package."""


def lambda_client(read_timeout: float = CALL_TIMEOUT_S) -> Any:
    """Return boto3's client.

    Args:
        read_timeout: seconds that an invocation may take.

    Raises:
        ConfigurationError: boto3 has no region, or an invalid endpoint.
    """
    try:
        session = boto3.session.Session()
        host = urlsplit(session.client("lambda").meta.endpoint_url).hostname
        return session.client(
            "lambda",
            config=Config(
                connect_timeout=5,
                read_timeout=max(CALL_TIMEOUT_S, math.ceil(read_timeout)),
                proxies={} if host in _LOOPBACK else None,
                retries={"total_max_attempts": 3},
            ),
        )
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(
            f"functions cannot be deployed: {error_message(error)}. Set AWS_DEFAULT_REGION and credentials, "
            "and AWS_ENDPOINT_URL_LAMBDA unless the functions run on AWS"
        ) from error


def is_aws(client: Any) -> bool:
    """Return whether the client calls AWS itself."""
    host = urlsplit(client.meta.endpoint_url).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def error_code(error: ClientError) -> str:
    """Return the name of the exception in the API."""
    return str(error.response.get("Error", {}).get("Code", ""))


def error_message(error: Exception) -> str:
    """Return the message of the API, or of the error itself."""
    known = error.response.get("Error", {}) if isinstance(error, ClientError) else {}
    return str(known.get("Message", error)).rstrip(".")
