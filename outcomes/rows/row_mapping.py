"""Maps an outcome to its rows, packed for COPY, and rows back to the outcome."""

import struct
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar

import msgspec

from outcomes.db.errors import LedgerRefused
from outcomes.rows import sanitize
from outcomes.rows.copy_binary import row_packer
from outcomes.schema.tables import ATTEMPTS, OUTCOMES
from straightline.contracts import Attempt, DataRef, Outcome, Reason
from straightline.contracts.outcome import NO_RESULT
from straightline.ids import canonical

OUTCOME_COLUMNS: Final = tuple(column for column in OUTCOMES.c if column.name != "recorded_at")
ATTEMPT_COLUMNS: Final = tuple(ATTEMPTS.c)

_pack_outcome = row_packer(OUTCOME_COLUMNS)
_pack_attempt = row_packer(ATTEMPT_COLUMNS)

T = TypeVar("T", bound=msgspec.Struct)


class Row(Protocol):
    """A row whose columns are read by name."""

    def __getitem__(self, name: str, /) -> Any:
        """Return the value of a column."""
        ...


class Execution(msgspec.Struct, frozen=True):
    """Identity of one execution of a request: equal for the same outcome delivered twice."""

    finished_us: int
    state: str
    backend: str | None


class Entry(msgspec.Struct, frozen=True):
    """One outcome, ready to be written.

    Attributes:
        request_id: in canonical form.
        execution: the execution that it reports.
        row: packed row of `outcomes`.
        attempts: packed rows of `attempts`.
        source: the outcome itself.
    """

    request_id: str
    execution: Execution
    row: bytes
    attempts: tuple[bytes, ...]
    source: Outcome


def entry_of(outcome: Outcome, now: float) -> Entry:
    """Pack an outcome into rows.

    Args:
        outcome: as delivered; values that Postgres cannot hold are sanitized.
        now: Unix seconds, in place of an invalid end time.

    Raises:
        LedgerRefused: its id is not a UUID, or a value cannot be packed.
    """
    request_id = canonical(outcome.request_id)
    if request_id is None:
        raise LedgerRefused(f"invalid request id {outcome.request_id[:64]!r}: not a UUID")
    finished = sanitize.time(outcome.finished_at)
    finished = now if finished is None else finished
    # The number of an attempt is part of the key; the later report of one number is the truer.
    attempts = {sanitize.integer(attempt.number, 16): attempt for attempt in outcome.attempts}
    try:
        return Entry(
            request_id=request_id,
            execution=Execution(round(finished * 1e6), outcome.state, outcome.backend),
            row=_pack_outcome(_outcome_values(outcome, request_id, finished)),
            attempts=tuple(
                _pack_attempt(_attempt_values(attempt, request_id, outcome.model, finished))
                for attempt in attempts.values()
            ),
            source=outcome,
        )
    except (ValueError, TypeError, OverflowError, struct.error) as error:
        raise LedgerRefused(f"the outcome cannot be packed into a row: {error}") from error


def outcome_from(row: Row, attempts: Sequence[Row]) -> Outcome:
    """Restore the outcome of a row of `outcomes` and its rows of `attempts`, in order of attempts."""
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
        # An empty Raw other than the default would encode as nothing, which is not JSON.
        result=msgspec.Raw(bytes(result)) if result else NO_RESULT,
        result_ref=_struct(row["result_ref"], DataRef),
        submitted_at=_seconds(row["submitted_at"]),
        received_at=_seconds(row["received_at"]),
        r_d=row["r_d"],
        cost=row["cost"],
        digest=row["digest"],
    )


def _outcome_values(outcome: Outcome, request_id: str, finished: float) -> tuple[Any, ...]:
    last = outcome.attempts[-1] if outcome.attempts else None
    reason = last.reason if last is not None else None
    return (
        request_id,
        outcome.state,
        outcome.model,
        outcome.version,
        outcome.class_,
        sanitize.key(outcome.batch_id),
        outcome.backend,
        sanitize.integer(len(outcome.attempts), 16),
        None if reason is None else sanitize.integer(reason.rule, 16),
        None if reason is None else sanitize.number(reason.f_t),
        sanitize.integer(outcome.r_d, 64),
        None if last is None else sanitize.number(last.wait),
        None if last is None else sanitize.number(last.service),
        None if last is None else sanitize.number(last.cold_start),
        outcome.error_class,
        outcome.error,
        bytes(outcome.result) or None,
        sanitize.json_column(outcome.result_ref),
        sanitize.number(outcome.cost),
        outcome.digest,
        sanitize.time(outcome.submitted_at),
        sanitize.time(outcome.received_at),
        finished,
    )


def _attempt_values(attempt: Attempt, request_id: str, model: str | None, finished: float) -> tuple[Any, ...]:
    ended = sanitize.time(attempt.finished_at)
    return (
        request_id,
        sanitize.integer(attempt.number, 16),
        model,
        attempt.backend,
        attempt.worker,
        attempt.succeeded,
        None if attempt.reason is None else sanitize.integer(attempt.reason.rule, 16),
        sanitize.json_column(attempt.reason),
        sanitize.time(attempt.placed_at),
        sanitize.time(attempt.started_at),
        finished if ended is None else ended,
        sanitize.number(attempt.wait),
        sanitize.number(attempt.service),
        sanitize.number(attempt.cold_start),
        attempt.error_class,
        attempt.error,
    )


def _attempt_from(row: Row) -> Attempt:
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
    """Convert a JSON column; None if numbers that had to be dropped make it invalid."""
    try:
        return None if value is None else msgspec.convert(value, structure)
    except msgspec.ValidationError:
        return None


def _seconds(time: datetime | None) -> float | None:
    return None if time is None else time.timestamp()


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
