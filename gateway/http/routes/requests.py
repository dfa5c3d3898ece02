"""Requests as resources: `/v1/requests`."""

import time
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from flask import Blueprint, Response, request

from gateway.http.context import Parts
from gateway.http.rendering.answer import json_answer
from gateway.http.rendering.prefer import preference
from gateway.http.rendering.problems import SOON, Refusal, refusal_of
from gateway.http.requests.status_merge import told
from gateway.http.requests.unfinished_placement import unanswered, with_placement
from gateway.http.routes.webhooks import wished_webhook
from gateway.shared.request_builder import MEMBERS, compose, id_for, traces
from outcomes.db.errors import LedgerNotMigrated, LedgerUnavailable
from outcomes.queries.outcomes import outcome_of
from outcomes.queries.submissions import (
    SEARCH_WINDOW,
    LastPlacement,
    Submission,
    find_submission,
    last_placement,
)
from outcomes.schema.uuid7_ranges import created_at
from straightline.contracts import Outcome, RequestStatus, Whereabouts
from straightline.errors import ContractError
from straightline.ids import canonical

_MEMBERS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_UNREADABLE: Final = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)


def blueprint(parts: Parts) -> Blueprint:
    """Return the endpoints below `/v1` that concern a request: submit, ask, take back."""
    made = Blueprint("v1", __name__, url_prefix="/v1")

    @made.post("/requests")
    def submit() -> Response:
        return _submit(parts)

    @made.get("/requests/<request_id>")
    def status(request_id: str) -> Response:
        parts.keys.require("read")
        return json_answer(current(parts, request_id))

    @made.delete("/requests/<request_id>")
    def cancel(request_id: str) -> Response:
        parts.keys.require("cancel")
        identity = identity_of(request_id)
        outcome = outcome_in(parts, identity)
        if outcome is not None:  # it stands
            return json_answer(status_of(outcome))
        # Asked first: once the wish is out, the ledger fails no answer.
        status = unfinished(parts, identity) or RequestStatus(id=identity, state="accepted")
        parts.exchange.cancel(identity)
        return json_answer(msgspec.structs.replace(status, cancelling=True), 202)

    @made.get("/requests/<request_id>/result")
    def result(request_id: str) -> Response:
        parts.keys.require("read")
        identity = identity_of(request_id)
        outcome = outcome_in(parts, identity)
        if outcome is None:
            state = current(parts, identity).state
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

    return made


def _submit(parts: Parts) -> Response:
    key = parts.keys.require("infer")
    members = _members(request.get_data(cache=False))
    members.setdefault("id", id_for(key.id, request.headers.get("Idempotency-Key")))
    webhook = wished_webhook(parts, key.id)
    now = time.time()
    composed = compose(
        members, now=now, inline_limit=parts.settings.inline_limit, put=parts.put, deadline=None
    )
    if webhook is not None:
        parts.submit(composed, traces(dict(request.headers)), webhook=webhook)
        return accepted(parts, composed.id)
    wait = preference(request.headers.get("Prefer")).wait
    if wait is None or wait == 0:
        parts.submit(composed, traces(dict(request.headers)))
        return accepted(parts, composed.id)
    outcome = parts.answer(composed, traces(dict(request.headers)), wait=wait)
    return accepted(parts, composed.id) if outcome is None else json_answer(status_of(outcome))


def accepted(parts: Parts, request_id: str) -> Response:
    """Answer that a request was taken, and where to ask for it."""
    status = parts.recent.status(request_id) or RequestStatus(id=request_id, state="accepted")
    return json_answer(status, 202, Location=f"/v1/requests/{request_id}")


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


def current(parts: Parts, request_id: str) -> RequestStatus:
    """Return how far a request came, or how it ended; raises as `found`."""
    return found(parts, request_id)[0]


def found(parts: Parts, request_id: str) -> tuple[RequestStatus, Whereabouts | None]:
    """Return how far a request came, or how it ended, and what was answered where it is, if anything was.

    What the ledger does not know, the scheduler and the pools may: they are asked meanwhile.

    Raises:
        Refusal: nothing is known of it; which is another one where no scheduler could be asked.
        LedgerUnavailable, LedgerNotMigrated: the ledger cannot be asked.
    """
    identity = identity_of(request_id)
    outcome = outcome_in(parts, identity)
    if outcome is not None:
        parts.recent.drop(identity)
        return with_placement(status_of(outcome), unanswered(parts, outcome)), None
    trouble: LedgerUnavailable | LedgerNotMigrated | None = None
    with parts.exchange.inquiry(identity) as inquiry:
        try:
            status = unfinished(parts, identity)
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
    outcome = outcome_in(parts, identity)  # it may have ended while others were asked
    if outcome is not None:
        return with_placement(status_of(outcome), unanswered(parts, outcome)), None
    if why is not None:
        raise Refusal(
            503,
            "nobody_to_ask",
            f"nothing is known of request {identity} in the ledger, and {why}: ask again",
            request_id=identity,
            retry_after=SOON,
        )
    raise Refusal(
        404,
        "unknown_request",
        f"request {identity} has no outcome yet, or never came",
        request_id=identity,
    )


def unfinished(parts: Parts, request_id: str) -> RequestStatus | None:
    """Return how far a request came that has no outcome, whichever process took it; None where none knows.

    Raises:
        LedgerUnavailable, LedgerNotMigrated: the ledger cannot be asked, and this process did not take it.
    """
    try:
        return _told(parts, request_id)
    except (LedgerUnavailable, LedgerNotMigrated):
        known = parts.recent.status(request_id)
        if known is None:
            raise
        return known


def _told(parts: Parts, request_id: str) -> RequestStatus | None:
    with parts.reader.connection() as connection:
        taken = find_submission(connection, request_id)
    # What stands in the ledger is the first submission; what a ledger that was away missed is known here.
    status = parts.recent.status(request_id) if taken is None else _accepted(taken)
    last = _placement(parts, request_id, status)
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


def _placement(parts: Parts, request_id: str, status: RequestStatus | None) -> LastPlacement | None:
    """Return where a request was placed last; None where it was not, or where that cannot be told soon.

    Raises:
        LedgerUnavailable, LedgerNotMigrated: it cannot be told soon, and nothing else is known of it.
    """
    since = created_at(request_id) if status is None else _moment(status.submitted_at)
    if since is None:
        return None
    try:
        with parts.searcher.connection() as connection:
            return last_placement(connection, request_id, max(since, datetime.now(UTC) - SEARCH_WINDOW))
    except (LedgerUnavailable, LedgerNotMigrated):
        if status is None:
            raise
        return None


def outcome_in(parts: Parts, request_id: str) -> Outcome | None:
    """Return the outcome that stands in the ledger; None where there is none yet."""
    with parts.reader.connection() as connection:
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
        members: dict[str, Any] = dict(_MEMBERS.decode(body))
    except _UNREADABLE as error:
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
        raise Refusal(404, "unknown_request", f"{text[:64]!r} is not a UUID, as requests' ids are")
    return identity
