"""HTTP error responses: problem details (RFC 9457), and below `/v2` the form of the protocol."""

import math
from typing import Any, Final

import msgspec
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from outcomes.db.errors import LedgerNotMigrated, LedgerUnavailable
from straightline.contracts import Outcome, Problem
from straightline.contracts.faults import traits_of
from straightline.errors import (
    BrokerUnavailable,
    ConfigurationError,
    ContractError,
    Rejected,
    StoreUnavailable,
    StraightLineError,
    Unroutable,
)
from straightline.support.event_log import EventLogger

log = EventLogger(__name__)

ERROR_HEADER: Final = "X-StraightLine-Error"
"""Carries the error class, as in responses of the model servers."""
RETRY_AFTER_S: Final = 1.0
"""Value of `Retry-After` if nothing better is known."""

_STATUS_BY_EXCEPTION: Final[dict[type[StraightLineError], tuple[int, str]]] = {
    ContractError: (400, "invalid"),
    Rejected: (503, "refused_by_broker"),
    BrokerUnavailable: (503, "broker_unavailable"),
    Unroutable: (503, "no_topology"),
    StoreUnavailable: (503, "store_unavailable"),
    LedgerNotMigrated: (503, "ledger_not_migrated"),
    ConfigurationError: (500, "misconfigured"),
}
_ROUTING_ERRORS: Final = {
    404: ("not_found", "no such endpoint: GET /openapi.json lists all of them"),
    405: ("wrong_method", "this endpoint does not have the method: the header Allow lists those it has"),
}
"""Error class and detail by status, for requests that match no route."""
_STATUS_BY_STATE: Final = {"rejected": 400, "expired": 504, "cancelled": 409, "failed": 502}


class ApiError(StraightLineError):
    """An error response.

    Attributes:
        problem: its content.
    """

    def __init__(
        self, status: int, word: str, detail: str, *, retry_after: float | None = None, **members: Any
    ) -> None:
        super().__init__(detail)
        self.problem = Problem(
            type=f"/problems/{word}",
            title=word.replace("_", " "),
            status=status,
            detail=detail,
            error_class=word,
            retry_after=retry_after,
            **members,
        )


def error_for_outcome(outcome: Outcome) -> ApiError:
    """Return the error response for a request that ended without a result."""
    word = outcome.error_class or outcome.state
    status = traits_of(word).http_status or _STATUS_BY_STATE[outcome.state]
    retry_after = getattr(outcome, "retry_after", None)
    if status == 503 and retry_after is None:
        retry_after = RETRY_AFTER_S
    return ApiError(
        status,
        word,
        outcome.error or f"the request {outcome.state}",
        retry_after=retry_after,
        request_id=outcome.request_id,
        state=outcome.state,
    )


def ledger_unavailable_detail(error: LedgerUnavailable) -> str:
    """Log why the ledger is unavailable, for the operator, and return the detail for callers."""
    log.warning("ledger_unavailable", error=error)
    return "the gateway's database is unavailable: try again"


def register(app: Flask) -> None:
    """Handle every exception of an application."""
    app.register_error_handler(Exception, _error_response)


def _error_response(error: Exception) -> Response:
    problem = _problem_of(error)
    protocol = request.path == "/v2" or request.path.startswith("/v2/")
    content: Any = {"error": problem.detail} if protocol else problem
    kind = "application/json" if protocol else "application/problem+json"
    response = Response(msgspec.json.encode(content), problem.status, mimetype=kind)
    response.headers[ERROR_HEADER] = problem.error_class or "error"
    if problem.retry_after is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(problem.retry_after)))
    if problem.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    allowed = getattr(error, "valid_methods", None)
    if allowed:
        response.headers["Allow"] = ", ".join(sorted(allowed))
    return response


def _problem_of(error: Exception) -> Problem:
    if isinstance(error, ApiError):
        return error.problem
    if isinstance(error, RequestEntityTooLarge):
        return ApiError(413, "too_large", "the body is larger than STRAIGHTLINE_GATEWAY_MAX_BODY").problem
    if isinstance(error, HTTPException):
        status = error.code or 500
        word, text = _ROUTING_ERRORS.get(status, ("bad_request", error.description or error.name))
        return ApiError(status, word, text).problem
    if isinstance(error, LedgerUnavailable):
        return ApiError(
            503, "ledger_unavailable", ledger_unavailable_detail(error), retry_after=RETRY_AFTER_S
        ).problem
    for kind, (status, word) in _STATUS_BY_EXCEPTION.items():
        if isinstance(error, kind):
            named = getattr(error, "error_class", None) or word
            code = traits_of(named).http_status or status
            return ApiError(
                code, named, str(error), retry_after=RETRY_AFTER_S if code == 503 else None
            ).problem
    log.error("http_request_failed", raised=error)
    return ApiError(500, "gateway_fault", "the gateway failed: see its log").problem
