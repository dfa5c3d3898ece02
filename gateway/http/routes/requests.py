"""The endpoints of requests: `/v1/requests`."""

import time
from typing import Any

import msgspec
from flask import Blueprint, Response, request

from gateway.http.context import AppContext
from gateway.http.rendering.answer import json_answer
from gateway.http.rendering.prefer import parse_prefer
from gateway.http.rendering.problems import ApiError, error_for_outcome
from gateway.http.requests.status_lookup import identity_of
from gateway.http.routes.webhooks import requested_webhook
from gateway.shared.request_builder import MEMBERS, PreparedRequest, id_from_idempotency_key, trace_context
from gateway.shared.request_status import status_of
from straightline.contracts import RequestStatus
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError


def blueprint(context: AppContext) -> Blueprint:
    """Return the endpoints that submit, report and cancel requests."""
    made = Blueprint("v1", __name__, url_prefix="/v1")

    @made.post("/requests")
    def submit() -> Response:
        return _submit(context)

    @made.get("/requests/<request_id>")
    def status(request_id: str) -> Response:
        context.auth.require("read")
        return json_answer(context.statuses.find(identity_of(request_id)).status)

    @made.delete("/requests/<request_id>")
    def cancel(request_id: str) -> Response:
        context.auth.require("cancel")
        identity = identity_of(request_id)
        outcome = context.statuses.outcome(identity)
        if outcome is not None:
            return json_answer(status_of(outcome))
        # Look up first: once the cancellation is published, a failing ledger must not fail the response.
        status = context.statuses.unfinished(identity) or RequestStatus(id=identity, state="accepted")
        context.broker.cancel(identity)
        return json_answer(msgspec.structs.replace(status, cancelling=True), 202)

    @made.get("/requests/<request_id>/result")
    def result(request_id: str) -> Response:
        context.auth.require("read")
        identity = identity_of(request_id)
        outcome = context.statuses.outcome(identity)
        if outcome is None:
            state = context.statuses.find(identity).status.state
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


def _members(body: bytes) -> dict[str, Any]:
    try:
        members: dict[str, Any] = dict(decode(body, dict[str, msgspec.Raw]))
    except ContractError as error:
        raise ContractError(f"the body is not a JSON object: {error}") from error
    unknown = sorted(members.keys() - set(MEMBERS))
    if unknown:
        raise ContractError(f"unknown member {', '.join(unknown)[:200]}: a request has {', '.join(MEMBERS)}")
    return members
