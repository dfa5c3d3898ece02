"""Results and failures of a job as JSON Lines, in the order of its input."""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from outcomes.db.pool import LedgerPool
from outcomes.queries.batches import Job, LineRefusal, refusals_of
from outcomes.queries.outcomes import outcomes_of
from straightline.batch.items import (
    NOT_SENT,
    Defaults,
    LineFailure,
    answered_line,
    failed_line,
    failure_of,
    parse_line,
)
from straightline.batch.lines import Line, Source, lines
from straightline.contracts import Outcome
from straightline.ids import id_of_line

LINE_BATCH_SIZE: Final = 200
"""Lines of one ledger query."""
MAX_LINE_BATCH_BYTES: Final = 16 * 1024 * 1024
"""A batch of long lines is closed above this size."""


def result_lines(job: Job, source: Source, reader: LedgerPool) -> Iterator[bytes]:
    """Yield an output line for every request that has succeeded so far."""
    defaults = msgspec.convert(job.defaults, Defaults)
    for some in _line_batches(job, source):
        outcomes, refused = _known(job, some, reader)
        for line in some:
            outcome = outcomes.get(id_of_line(job.id, line.number))
            if outcome is not None and outcome.state == "succeeded" and line.number not in refused:
                yield answered_line(line.number, parse_line(line.text, defaults).custom_id, outcome)


def failure_lines(job: Job, source: Source, reader: LedgerPool) -> Iterator[bytes]:
    """Yield a report line for every line that is known to have no result."""
    defaults = msgspec.convert(job.defaults, Defaults)
    for some in _line_batches(job, source):
        outcomes, refused = _known(job, some, reader)
        for line in some:
            outcome = outcomes.get(id_of_line(job.id, line.number))
            why = _why(job, line, outcome, refused.get(line.number))
            if why is not None:
                yield failed_line(why, line.text, defaults)


def _why(job: Job, line: Line, outcome: Outcome | None, refusal: LineRefusal | None) -> LineFailure | None:
    if refusal is not None:
        return LineFailure(line.number, "refused", refusal.error_class, refusal.error)
    if outcome is not None:
        return None if outcome.state == "succeeded" else failure_of(line.number, outcome)
    if job.state == "cancelled":
        return msgspec.structs.replace(NOT_SENT, line=line.number)
    return None


def _line_batches(job: Job, source: Source) -> Iterator[list[Line]]:
    """Yield the lines that the job has read so far, or all of an ended job, in batches."""
    some: list[Line] = []
    size = 0
    for line in _read(job, lines(source)):
        some.append(line)
        size += len(line.text)
        if len(some) == LINE_BATCH_SIZE or size > MAX_LINE_BATCH_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some


def _read(job: Job, found: Iterable[Line]) -> Iterator[Line]:
    for line in found:
        if job.finished_at is None and line.number > job.read_up_to:
            return
        yield line


def _known(
    job: Job, some: list[Line], reader: LedgerPool
) -> tuple[dict[str, Outcome], dict[int, LineRefusal]]:
    with reader.connection() as connection:
        return (
            outcomes_of(connection, [id_of_line(job.id, line.number) for line in some]),
            refusals_of(connection, job.id, some[0].number, some[-1].number),
        )
