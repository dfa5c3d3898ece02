"""Errors of the API, and their responses.

Source: the API reference of AWS Lambda.
"""

import uuid
from typing import Any, TypeVar

import msgspec
from flask import Response, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from function_host.hosting.errors import Throttled, UnknownFunction
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError, StraightLineError
from straightline.support.event_log import EventLogger

T = TypeVar("T")
_log = EventLogger(__name__)


class BadRequest(StraightLineError):  # noqa: N818 - named as the HTTP status
    """The request is invalid.

    Attributes:
        kind: name of the exception in Lambda's API.
        status: HTTP status.
    """

    def __init__(self, kind: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status


def invalid_parameter(why: str) -> BadRequest:
    """Return Lambda's exception for an invalid parameter."""
    return BadRequest("InvalidParameterValueException", why)


def decode_body(body: bytes, kind: type[T]) -> T:
    """Decode the body of a request.

    Raises:
        BadRequest: the body is invalid.
    """
    try:
        return decode(body, kind)
    except ContractError as error:
        raise invalid_parameter(str(error)) from error


def error_response(error: Exception) -> Response:
    """Return Lambda's response for an exception."""
    if isinstance(error, UnknownFunction):
        return _error(404, "ResourceNotFoundException", {"Type": "User", "Message": str(error)})
    if isinstance(error, Throttled):
        content = {"Type": "User", "Reason": error.reason, "message": str(error), "retryAfterSeconds": "1"}
        return _error(429, "TooManyRequestsException", content)
    if isinstance(error, RequestEntityTooLarge):
        size = request.content_length or 0
        limit = request.max_content_length
        message = f"{size} byte payload is too large for the invocation (limit {limit} bytes)"
        return _error(413, "RequestTooLargeException", {"Type": "User", "message": message})
    if isinstance(error, BadRequest):
        return _error(error.status, error.kind, {"Type": "User", "message": str(error)})
    if isinstance(error, HTTPException):
        content = {"Type": "User", "message": error.description or error.name}
        return _error(error.code or 500, "UnknownOperationException", content)
    _log.error("http_request_failed", raised=error)
    message = f"internal error in the function host: {error}"
    return _error(500, "ServiceException", {"Type": "Service", "Message": message})


def _error(status: int, kind: str, content: dict[str, Any]) -> Response:
    response = json_response(content, status)
    response.headers["X-Amzn-ErrorType"] = kind
    response.headers["X-Amzn-RequestId"] = str(uuid.uuid4())
    if status == 429:
        response.headers["Retry-After"] = "1"
    return response


def json_response(content: Any, status: int = 200) -> Response:
    """Return a JSON response."""
    return Response(msgspec.json.encode(content), status, mimetype="application/json")
