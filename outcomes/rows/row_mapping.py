"""An outcome as the rows that keep it, packed and ready to be copied; pure."""

import struct
from typing import Any, Final

import msgspec

from outcomes.db.errors import LedgerRefused
from outcomes.rows import sanitize
from outcomes.rows.copy_binary import row_packer
from outcomes.schema.tables import ATTEMPTS, OUTCOMES
from straightline.contracts import Attempt, Outcome
from straightline.ids import canonical

OUTCOME_COLUMNS: Final = tuple(column for column in OUTCOMES.c if column.name != "recorded_at")
ATTEMPT_COLUMNS: Final = tuple(ATTEMPTS.c)

_pack_outcome = row_packer(OUTCOME_COLUMNS)
_pack_attempt = row_packer(ATTEMPT_COLUMNS)


class Execution(msgspec.Struct, frozen=True):
    """What tells one execution of a request from another: the same message delivered twice has the same."""

    finished_us: int
    state: str
    backend: str | None


class Entry(msgspec.Struct, frozen=True):
    """One outcome, ready to be written.

    Attributes:
        request_id: in canonical form.
        execution: which one it reports.
        row: of `outcomes`, packed.
        attempts: its rows of `attempts`, packed.
        source: the outcome itself.
    """

    request_id: str
    execution: Execution
    row: bytes
    attempts: tuple[bytes, ...]
    source: Outcome


def entry_of(outcome: Outcome, now: float) -> Entry:
    """Pack an outcome.

    Args:
        outcome: as it was delivered; what Postgres cannot hold is bent or dropped.
        now: seconds since the epoch, for an outcome with an impossible time.

    Raises:
        LedgerRefused: there is no row for it, for its id is no UUID.
    """
    request_id = canonical(outcome.request_id)
    if request_id is None:
        raise LedgerRefused(f"the outcome's request_id {outcome.request_id[:64]!r} is not a UUID")
    finished = sanitize.time(outcome.finished_at)
    finished = now if finished is None else finished
    # Two attempts of one number cannot both stand; the later one is the truer report.
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
        raise LedgerRefused(f"the outcome cannot be made a row: {error}") from error


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
