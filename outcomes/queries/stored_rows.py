"""An outcome back from its rows, as it was delivered; pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

import msgspec
from sqlalchemy import RowMapping

from straightline.contracts import Attempt, DataRef, Outcome, Reason
from straightline.contracts.outcome import NO_RESULT

T = TypeVar("T", bound=msgspec.Struct)


def outcome_from(row: RowMapping, attempts: Sequence[RowMapping]) -> Outcome:
    """Make the outcome of a row of `outcomes` and its rows of `attempts`, the first attempt first."""
    result = row["result"]
    return Outcome(
        request_id=row["request_id"],
        state=row["state"],
        finished_at=row["finished_at"].timestamp(),
        model=row["model"],
        version=row["version"],
        class_=row["class"],
        batch_id=row["batch_id"],
        backend=row["backend"],
        attempts=[_attempt_from(attempt) for attempt in attempts],
        error_class=row["error_class"],
        error=row["error"],
        # An empty Raw that is not the default would be encoded as nothing at all, which is no JSON.
        result=msgspec.Raw(bytes(result)) if result else NO_RESULT,
        result_ref=_struct(row["result_ref"], DataRef),
        submitted_at=_seconds(row["submitted_at"]),
        received_at=_seconds(row["received_at"]),
        r_d=row["r_d"],
        cost=row["cost"],
        digest=row["digest"],
    )


def _attempt_from(row: RowMapping) -> Attempt:
    finished = row["finished_at"].timestamp()
    return Attempt(
        number=row["number"],
        backend=row["backend"],
        succeeded=row["succeeded"],
        placed_at=_or(_seconds(row["placed_at"]), finished),
        started_at=_or(_seconds(row["started_at"]), finished),
        finished_at=finished,
        worker=row["worker"],
        reason=_struct(row["reason"], Reason),
        wait=_or(row["wait"], 0.0),
        service=_or(row["service"], 0.0),
        cold_start=row["cold_start"],
        error_class=row["error_class"],
        error=row["error"],
    )


def _struct(value: object, structure: type[T]) -> T | None:
    """Read a JSON column; one whose numbers had to be dropped to be written at all reads as absent."""
    try:
        return None if value is None else msgspec.convert(value, structure)
    except msgspec.ValidationError:
        return None


def _seconds(time: datetime | None) -> float | None:
    return None if time is None else time.timestamp()


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value
