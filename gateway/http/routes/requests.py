"""Requests as resources: `/v1/requests`."""

import time
from datetime import UTC, datetime
from typing import Any

import msgspec
from flask import Blueprint, Response, request

from gateway.http.context import AppContext
from gateway.http.rendering.answer import json_answer
from gateway.http.rendering.prefer import parse_prefer
from gateway.http.rendering.problems import RETRY_AFTER_S, ApiError, error_for_outcome
from gateway.http.requests.status_merge import told
from gateway.http.requests.unfinished_placement import unanswered, with_placement
from gateway.http.routes.webhooks import requested_webhook
from gateway.shared.request_builder import MEMBERS, id_from_idempotency_key, trace_context
from gateway.shared.request_status import status_of
from outcomes.db.errors import LedgerNotMigrated, LedgerUnavailable
from outcomes.queries.last_placement import SEARCH_WINDOW, LastPlacement, last_placement
from outcomes.queries.outcomes import outcome_of
from outcomes.queries.submissions import Submission, find_submission
from outcomes.schema.uuid7_ranges import created_at
from straightline.contracts import Outcome, RequestStatus, StatusReply
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError
from straightline.ids import canonical


def blueprint(context: AppContext) -> Blueprint:
    """Return the endpoints below `/v1` that concern a request: submit, ask, take back."""
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
        if outcome is not None:  # it stands
            return json_answer(status_of(outcome))
        # Asked first: once the wish is out, the ledger fails no answer.
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
                f"the request has not ended: it is {state}; ask again",
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
        return accepted(context, prepared.id)
    outcome = context.requests.submit_and_wait(prepared, trace, wait=wait)
    return accepted(context, prepared.id) if outcome is None else json_answer(status_of(outcome))


def accepted(context: AppContext, request_id: str) -> Response:
    """Answer that a request was taken, and where to ask for it."""
    status = context.recent.status(request_id) or RequestStatus(id=request_id, state="accepted")
    return json_answer(status, 202, Location=f"/v1/requests/{request_id}")


def current(context: AppContext, request_id: str) -> RequestStatus:
    """Return how far a request came, or how it ended; raises as `found`."""
    return found(context, request_id)[0]


def found(context: AppContext, request_id: str) -> tuple[RequestStatus, StatusReply | None]:
    """Return how far a request came, or how it ended, and what was answered where it is, if anything was.

    What the ledger does not know, the scheduler and the pools may: they are asked meanwhile.

    Raises:
        Refusal: nothing is known of it; which is another one where no scheduler could be asked.
        LedgerUnavailable, LedgerNotMigrated: the ledger cannot be asked.
    """
    identity = identity_of(request_id)
    outcome = outcome_in(context, identity)
    if outcome is not None:
        context.recent.drop(identity)
        return with_placement(status_of(outcome), unanswered(context.placement_ledger, outcome)), None
    trouble: LedgerUnavailable | LedgerNotMigrated | None = None
    with context.broker.status_query(identity) as inquiry:
        try:
            status = unfinished(context, identity)
        except (LedgerUnavailable, LedgerNotMigrated) as error:
            status, trouble = None, error
        heard = inquiry.answer()
        why = None if heard is not None else f"no scheduler could be asked now ({inquiry.why_silent})"
    status = told(status, heard)
    if status is not None:
        note = None if why is None else f"{why}: this is what was known before"
        return msgspec.structs.replace(status, note=note), heard
    if trouble is not None:
        raise trouble
    outcome = outcome_in(context, identity)  # it may have ended while others were asked
    if outcome is not None:
        return with_placement(status_of(outcome), unanswered(context.placement_ledger, outcome)), None
    if why is not None:
        raise ApiError(
            503,
            "nobody_to_ask",
            f"nothing is known of request {identity} in the ledger, and {why}: ask again",
            request_id=identity,
            retry_after=RETRY_AFTER_S,
        )
    raise ApiError(
        404,
        "unknown_request",
        f"request {identity} has no outcome yet, or never came",
        request_id=identity,
    )


def unfinished(context: AppContext, request_id: str) -> RequestStatus | None:
    """Return how far a request came that has no outcome, whichever process took it; None where none knows.

    Raises:
        LedgerUnavailable, LedgerNotMigrated: the ledger cannot be asked, and this process did not take it.
    """
    try:
        return _told(context, request_id)
    except (LedgerUnavailable, LedgerNotMigrated):
        known = context.recent.status(request_id)
        if known is None:
            raise
        return known


def _told(context: AppContext, request_id: str) -> RequestStatus | None:
    with context.ledger.connection() as connection:
        taken = find_submission(connection, request_id)
    # What stands in the ledger is the first submission; what a ledger that was away missed is known here.
    status = context.recent.status(request_id) if taken is None else _accepted(taken)
    last = _placement(context, request_id, status)
    if last is None:
        return status
    return msgspec.structs.replace(
        status or RequestStatus(id=request_id, state="placed"),
        state="placed",
        model=last.model,
        version=last.version,
        class_=last.class_,
        batch_id=last.batch_id,
        backend=last.backend,
        attempts=last.attempt,
        placed_at=last.placed_at,
    )


def _placement(context: AppContext, request_id: str, status: RequestStatus | None) -> LastPlacement | None:
    """Return where a request was placed last; None where it was not, or where that cannot be told soon.

    Raises:
        LedgerUnavailable, LedgerNotMigrated: it cannot be told soon, and nothing else is known of it.
    """
    since = created_at(request_id) if status is None else _moment(status.submitted_at)
    if since is None:
        return None
    try:
        with context.placement_ledger.connection() as connection:
            return last_placement(connection, request_id, max(since, datetime.now(UTC) - SEARCH_WINDOW))
    except (LedgerUnavailable, LedgerNotMigrated):
        if status is None:
            raise
        return None


def outcome_in(context: AppContext, request_id: str) -> Outcome | None:
    """Return the outcome that stands in the ledger; None where there is none yet."""
    with context.ledger.connection() as connection:
        return outcome_of(connection, request_id)


def _accepted(taken: Submission) -> RequestStatus:
    return RequestStatus(
        id=taken.id,
        state="accepted",
        model=taken.model,
        submitted_at=taken.submitted_at,
        deadline=taken.deadline,
    )


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _members(body: bytes) -> dict[str, Any]:
    try:
        members: dict[str, Any] = dict(decode(body, dict[str, msgspec.Raw]))
    except ContractError as error:
        raise ContractError(f"the body is not a JSON object of a request: {error}") from error
    unknown = sorted(members.keys() - set(MEMBERS))
    if unknown:
        raise ContractError(
            f"a request has no member {', '.join(unknown)[:200]}; it has {', '.join(MEMBERS)}"
        )
    return members


def identity_of(text: str) -> str:
    """Return the id in its canonical form.

    Raises:
        Refusal: it is none.
    """
    identity = canonical(text)
    if identity is None:
        raise ApiError(404, "unknown_request", f"{text[:64]!r} is not a UUID, as requests' ids are")
    return identity
