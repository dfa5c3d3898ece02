"""The endpoints of introspection: `/v1/models`, `/v1/backends`, `/v1/failures`, `/v1/placements`."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from flask import Blueprint, Response, request

from gateway.http.context import AppContext
from gateway.http.rendering.answer import json_answer
from gateway.http.requests.status_lookup import identity_of
from outcomes.queries.failures import failures
from outcomes.queries.last_placement import LastPlacement
from straightline.contracts import (
    FailureReport,
    ModelList,
    Outcome,
    PlacementHistory,
    PlacementStep,
    RequestStatus,
    StatusEvent,
)
from straightline.contracts.http_models import step_of
from straightline.errors import ContractError
from straightline.support.durations import duration

SINCE: Final = "[1-9][0-9]{0,2}[smhd]"
"""Pattern of a period: a number and its unit."""
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def blueprint(context: AppContext) -> Blueprint:
    """Return the introspection endpoints below `/v1`."""
    made = Blueprint("introspection", __name__, url_prefix="/v1")

    @made.get("/models")
    def models() -> Response:
        context.auth.require("read")
        return json_answer(ModelList(models=context.models.entries()))

    @made.get("/backends")
    def backends() -> Response:
        context.auth.require("read")
        return json_answer(context.workers.report())

    @made.get("/failures")
    def failure_rates() -> Response:
        context.auth.require("read")
        unknown = sorted(request.args.keys() - {"since", "model"})
        if unknown:
            raise ContractError(f"unknown parameter {', '.join(unknown)[:200]}: use since and model")
        until = datetime.now(UTC)
        since = until - _since(request.args.get("since", "1h"))
        with context.ledger.connection() as connection:
            report = failures(connection, since, until, model=_model(request.args.get("model")))
        return json_answer(
            FailureReport(
                since=report.since.timestamp(),
                until=report.until.timestamp(),
                by_backend=report.by_backend,
                by_model=report.by_model,
                by_version=report.by_version,
            )
        )

    @made.get("/placements/<request_id>")
    def placements(request_id: str) -> Response:
        context.auth.require("read")
        identity = identity_of(request_id)
        outcome = context.statuses.outcome(identity)
        if outcome is None:
            return json_answer(_unfinished(*context.statuses.find(identity)))
        return json_answer(history_of(outcome, context.statuses.unanswered_placement(outcome)))

    return made


def history_of(outcome: Outcome, last: LastPlacement | None = None) -> PlacementHistory:
    """Return the placements of a request that has ended.

    Args:
        outcome: outcome of the request.
        last: the last placement, if the outcome lacks it.
    """
    steps = [step_of(attempt) for attempt in outcome.attempts]
    if last is not None:
        steps.append(PlacementStep(number=last.attempt, backend=last.backend, placed_at=last.placed_at))
    return PlacementHistory(
        id=outcome.request_id,
        state=outcome.state,
        model=outcome.model,
        version=outcome.version or (None if last is None else last.version),
        class_=outcome.class_,
        steps=steps,
        error_class=outcome.error_class,
        error=outcome.error,
        submitted_at=outcome.submitted_at,
        finished_at=outcome.finished_at,
    )


def _unfinished(status: RequestStatus, event: StatusEvent | None) -> PlacementHistory:
    return PlacementHistory(
        id=status.id,
        state=status.state,
        model=status.model,
        version=status.version,
        class_=status.class_,
        steps=[*_failed_attempts(event), *_running(status, event)],
        held_reason=status.held_reason,
        submitted_at=status.submitted_at,
        deadline=status.deadline,
    )


def _failed_attempts(event: StatusEvent | None) -> list[PlacementStep]:
    return [] if event is None else [step_of(attempt) for attempt in event.failed]


def _running(status: RequestStatus, event: StatusEvent | None) -> list[PlacementStep]:
    """Return the placement that is still running, if there is one."""
    if status.backend is None or status.state not in {"placed", "running"}:
        return []
    return [
        PlacementStep(
            number=max(1, status.attempts),
            backend=status.backend,
            reason=None if event is None else event.reason,
            worker=status.worker,
            placed_at=status.placed_at,
            started_at=status.started_at,
        )
    ]


def _since(text: str) -> timedelta:
    if not re.fullmatch(SINCE, text):
        raise ContractError(f"since={text[:64]!r} is not a period such as 30s, 15m, 1h or 7d")
    return duration(text)


def _model(text: str | None) -> str | None:
    if text is not None and not NAME.fullmatch(text):
        raise ContractError(f"{text[:64]!r} is not a valid model name")
    return text
