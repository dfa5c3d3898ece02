"""Requests as resources: `/v1/requests`, `/v1/models`, `/v1/failures`, `/v1/placements`."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from flask import Blueprint, Response, request

from gateway.http.composing import MEMBERS, compose, id_for, traces
from gateway.http.parts import Parts
from gateway.http.prefer import preference
from gateway.http.problems import Refusal, refusal_of
from outcomes.questions import failures, outcome_of
from straightline.contracts import (
    FailureReport,
    ModelList,
    Outcome,
    PlacementStory,
    RequestStatus,
)
from straightline.contracts.answers import step_of
from straightline.durations import duration
from straightline.errors import ContractError
from straightline.ids import canonical

_MEMBERS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_UNREADABLE: Final = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)


def blueprint(parts: Parts) -> Blueprint:
    """Return the endpoints below `/v1` that concern requests and what became of them."""
    made = Blueprint("v1", __name__, url_prefix="/v1")

    @made.post("/requests")
    def submit() -> Response:
        key = parts.keys.require("infer")
        members = _members(request.get_data(cache=False))
        members.setdefault("id", id_for(key.id, request.headers.get("Idempotency-Key")))
        now = time.time()
        composed = compose(
            members, now=now, inline_limit=parts.settings.inline_limit, put=parts.put, deadline=None
        )
        wait = preference(request.headers.get("Prefer")).wait
        if wait is None or wait == 0:
            parts.submit(composed, traces(dict(request.headers)))
            return accepted(parts, composed.id)
        outcome = parts.answer(composed, traces(dict(request.headers)), wait=wait)
        return accepted(parts, composed.id) if outcome is None else _json(status_of(outcome))

    @made.get("/requests/<request_id>")
    def status(request_id: str) -> Response:
        parts.keys.require("read")
        return _json(_status(parts, request_id))

    @made.get("/requests/<request_id>/result")
    def result(request_id: str) -> Response:
        parts.keys.require("read")
        identity = _identity(request_id)
        outcome = _outcome(parts, identity)
        if outcome is None:
            state = _status(parts, identity).state
            raise Refusal(
                409,
                "not_ended",
                f"the request has not ended: it is {state}; ask again",
                request_id=identity,
                state=state,
            )
        if outcome.state != "succeeded":
            raise refusal_of(outcome)
        return Response(bytes(parts.fetched(outcome).result), mimetype="application/json")

    @made.get("/models")
    def models() -> Response:
        parts.keys.require("read")
        return _json(ModelList(models=parts.models.entries()))

    @made.get("/failures")
    def failure_rates() -> Response:
        parts.keys.require("read")
        until = datetime.now(UTC)
        since = until - _since(request.args.get("since", "1h"))
        with parts.reader.connection() as connection:
            found = failures(connection, since, until, model=request.args.get("model"))
        return _json(
            FailureReport(
                since=found.since.timestamp(),
                until=found.until.timestamp(),
                by_backend=found.by_backend,
                by_model=found.by_model,
            )
        )

    @made.get("/placements/<request_id>")
    def placements(request_id: str) -> Response:
        parts.keys.require("read")
        identity = _identity(request_id)
        outcome = _outcome(parts, identity)
        return _json(story_of(outcome) if outcome is not None else _unfinished(_status(parts, identity)))

    return made


def accepted(parts: Parts, request_id: str) -> Response:
    """Answer that a request was taken, and where to ask for it."""
    status = parts.recent.status(request_id) or RequestStatus(id=request_id, state="accepted")
    response = _json(status, 202)
    response.headers["Location"] = f"/v1/requests/{request_id}"
    return response


def status_of(outcome: Outcome) -> RequestStatus:
    """Return the status of a request that has ended."""
    last = outcome.attempts[-1] if outcome.attempts else None
    return RequestStatus(
        id=outcome.request_id,
        state=outcome.state,
        model=outcome.model,
        version=outcome.version,
        class_=outcome.class_,
        batch_id=outcome.batch_id,
        backend=outcome.backend,
        attempts=len(outcome.attempts),
        error_class=outcome.error_class,
        error=outcome.error,
        has_result=outcome.state == "succeeded",
        submitted_at=outcome.submitted_at,
        received_at=outcome.received_at,
        placed_at=last.placed_at if last else None,
        finished_at=outcome.finished_at,
        r_d=outcome.r_d,
        cost=outcome.cost,
    )


def story_of(outcome: Outcome) -> PlacementStory:
    """Return why a request that has ended was placed where it was."""
    return PlacementStory(
        id=outcome.request_id,
        state=outcome.state,
        model=outcome.model,
        version=outcome.version,
        steps=[step_of(attempt) for attempt in outcome.attempts],
        error_class=outcome.error_class,
        error=outcome.error,
        submitted_at=outcome.submitted_at,
        finished_at=outcome.finished_at,
    )


def _unfinished(status: RequestStatus) -> PlacementStory:
    return PlacementStory(
        id=status.id,
        state=status.state,
        model=status.model,
        version=status.version,
        held_reason=status.held_reason,
        submitted_at=status.submitted_at,
    )


def _status(parts: Parts, request_id: str) -> RequestStatus:
    identity = _identity(request_id)
    outcome = _outcome(parts, identity)
    if outcome is not None:
        parts.recent.drop(identity)
        return status_of(outcome)
    status = parts.recent.status(identity)
    if status is None:
        raise Refusal(
            404,
            "unknown_request",
            f"request {identity} has no outcome yet, or never came",
            request_id=identity,
        )
    return status


def _outcome(parts: Parts, request_id: str) -> Outcome | None:
    with parts.reader.connection() as connection:
        return outcome_of(connection, request_id)


def _members(body: bytes) -> dict[str, Any]:
    try:
        members: dict[str, Any] = dict(_MEMBERS.decode(body))
    except _UNREADABLE as error:
        raise ContractError(f"the body is not a JSON object of a request: {error}") from error
    unknown = sorted(members.keys() - set(MEMBERS))
    if unknown:
        raise ContractError(
            f"a request has no member {', '.join(unknown)[:200]}; it has {', '.join(MEMBERS)}"
        )
    return members


def _identity(text: str) -> str:
    identity = canonical(text)
    if identity is None:
        raise Refusal(404, "unknown_request", f"{text[:64]!r} is not a UUID, as requests' ids are")
    return identity


def _since(text: str) -> timedelta:
    try:
        return duration(text)
    except (ValueError, OverflowError) as error:
        raise ContractError(str(error)) from error


def _json(content: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, mimetype="application/json")
