"""The endpoints of requests: `/v1/requests`."""

import time
from typing import Any, Final

import msgspec
from flask import Blueprint, Response, request

from gateway.http.context import AppContext
from gateway.http.rendering.answer import json_answer
from gateway.http.rendering.prefer import parse_prefer
from gateway.http.rendering.problems import RETRY_AFTER_S, ApiError, error_for_outcome
from gateway.http.requests.unfinished_placement import unanswered, with_placement
from gateway.http.routes.webhooks import requested_webhook
from gateway.shared.request_builder import MEMBERS, PreparedRequest, id_from_idempotency_key, trace_context
from gateway.shared.request_status import status_of
from outcomes.queries.outcomes import outcome_of
from outcomes.queries.submissions import Submission, find_submission
from straightline.contracts import Outcome, RequestStatus, StatusEvent
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError
from straightline.ids import canonical

_SHARED: Final = tuple(
    name for name in StatusEvent.__struct_fields__ if name in RequestStatus.__struct_fields__ and name != "id"
)
"""Members that a status has in common with an event."""


def blueprint(context: AppContext) -> Blueprint:
    """Return the endpoints that submit, report and cancel requests."""
    made = Blueprint("v1", __name__, url_prefix="/v1")

    @made.post("/requests")
    def submit() -> Response:
        return _submit(context)

    @made.get("/requests/<request_id>")
    def status(request_id: str) -> Response:
        context.auth.require("read")
        return json_answer(current(context, request_id))

    @made.delete("/requests/<request_id>")
    def cancel(request_id: str) -> Response:
        context.auth.require("cancel")
        identity = identity_of(request_id)
        outcome = outcome_in(context, identity)
        if outcome is not None:
            return json_answer(status_of(outcome))
        # Look up first: once the cancellation is published, a failing ledger must not fail the response.
        status = unfinished(context, identity) or RequestStatus(id=identity, state="accepted")
        context.broker.cancel(identity)
        return json_answer(msgspec.structs.replace(status, cancelling=True), 202)

    @made.get("/requests/<request_id>/result")
    def result(request_id: str) -> Response:
        context.auth.require("read")
        identity = identity_of(request_id)
        outcome = outcome_in(context, identity)
        if outcome is None:
            state = current(context, identity).state
            raise ApiError(
                409,
                "not_ended",
                f"the request has not ended, it is {state}: try again later",
                request_id=identity,
                state=state,
            )
        if outcome.state != "succeeded":
            raise error_for_outcome(outcome)
        return Response(bytes(context.requests.load_result(outcome).result), mimetype="application/json")

    return made


def _submit(context: AppContext) -> Response:
    key = context.auth.require("infer")
    members = _members(request.get_data(cache=False))
    members.setdefault("id", id_from_idempotency_key(key.id, request.headers.get("Idempotency-Key")))
    webhook = requested_webhook(context, key.id)
    prepared = context.requests.prepare(members, now=time.time())
    trace = trace_context(dict(request.headers))
    wait = parse_prefer(request.headers.get("Prefer")).wait
    if webhook is not None or wait is None or wait == 0:
        context.requests.submit(prepared, trace, webhook=webhook)
        return accepted(prepared)
    outcome = context.requests.submit_and_wait(prepared, trace, wait=wait)
    return accepted(prepared) if outcome is None else json_answer(status_of(outcome))


def accepted(prepared: PreparedRequest) -> Response:
    """Return the 202 response of an accepted request."""
    status = RequestStatus(
        id=prepared.id,
        state="accepted",
        model=prepared.model,
        submitted_at=prepared.submitted_at,
        deadline=prepared.deadline,
    )
    return json_answer(status, 202, Location=f"/v1/requests/{prepared.id}")


def current(context: AppContext, request_id: str) -> RequestStatus:
    """Return how far a request came, or how it ended; raises as `found`."""
    return found(context, request_id)[0]


def found(context: AppContext, request_id: str) -> tuple[RequestStatus, StatusEvent | None]:
    """Return how far a request came, or how it ended, and its latest status event while it is unfinished.

    Before the end, the status stream is the source; after it, the ledger.

    Raises:
        ApiError: the request is unknown; with status 503 if that may be because status events are missing.
        LedgerUnavailable, LedgerNotMigrated: the ledger cannot be queried.
    """
    identity = identity_of(request_id)
    event = context.status.find(identity)  # first: a request that ends meanwhile is in the ledger
    outcome = outcome_in(context, identity)
    if outcome is not None:
        context.status.drop(identity)
        return with_placement(status_of(outcome), unanswered(context.placement_ledger, outcome)), None
    status = unfinished(context, identity)
    stale = context.status.stale_reason()
    if status is not None:
        note = None if stale is None else f"{stale}: this is what was known before"
        return msgspec.structs.replace(status, note=note), event
    if stale is not None:
        raise ApiError(
            503,
            "nobody_to_ask",
            f"request {identity} is not in the ledger, and {stale}: try again later",
            request_id=identity,
            retry_after=RETRY_AFTER_S,
        )
    raise ApiError(
        404,
        "unknown_request",
        f"request {identity} is unknown",
        request_id=identity,
    )


def unfinished(context: AppContext, request_id: str) -> RequestStatus | None:
    """Return how far a request without an outcome came; None if nothing is known of it.

    Raises:
        LedgerUnavailable, LedgerNotMigrated: the ledger cannot be queried.
    """
    with context.ledger.connection() as connection:
        submission = find_submission(connection, request_id)
    event = context.status.find(request_id)
    if event is None:
        return None if submission is None else _submitted(submission)
    known = {name: value for name in _SHARED if (value := getattr(event, name))}
    if submission is None:
        return RequestStatus(id=request_id, **known)
    return msgspec.structs.replace(_submitted(submission), **known)


def outcome_in(context: AppContext, request_id: str) -> Outcome | None:
    """Return the recorded outcome; None if there is none yet."""
    with context.ledger.connection() as connection:
        return outcome_of(connection, request_id)


def _submitted(submission: Submission) -> RequestStatus:
    return RequestStatus(
        id=submission.id,
        state="accepted",
        model=submission.model,
        submitted_at=submission.submitted_at,
        deadline=submission.deadline,
    )


def _members(body: bytes) -> dict[str, Any]:
    try:
        members: dict[str, Any] = dict(decode(body, dict[str, msgspec.Raw]))
    except ContractError as error:
        raise ContractError(f"the body is not a JSON object: {error}") from error
    unknown = sorted(members.keys() - set(MEMBERS))
    if unknown:
        raise ContractError(f"unknown member {', '.join(unknown)[:200]}: a request has {', '.join(MEMBERS)}")
    return members


def identity_of(text: str) -> str:
    """Return the canonical form of a request id.

    Raises:
        ApiError: 404, it is not a UUID.
    """
    identity = canonical(text)
    if identity is None:
        raise ApiError(404, "unknown_request", f"{text[:64]!r} is not a request id: they are UUIDs")
    return identity
