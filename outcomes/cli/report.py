"""Query results as text for a terminal."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from outcomes.queries.query_results import DuplicateRequests, Failures
from outcomes.reconciling.dead_letter_table import DeadLetter
from straightline.contracts import Attempt, Outcome
from straightline.report_text import failure_tables, format_reason
from straightline.support.terminal import printable, table

DEAD_LETTER_HEADINGS: Final = (
    "last",
    "times",
    "bytes",
    "resolution",
    "died in",
    "why",
    "requests",
    "explanation, or first request",
)
MAX_RESULT_BYTES: Final = 2000


def failures_text(failures: Failures) -> str:
    """Format failure rates as tables: backends, models, and versions of models that have several."""
    window = f"Failures from {_second(failures.since)} to {_second(failures.until)}"
    return failure_tables(window, failures.by_backend, failures.by_model, failures.by_version) + "\n"


def outcome_text(outcome: Outcome, duplicates: DuplicateRequests) -> str:
    """Format one outcome with its attempts, and how often its id was submitted again."""
    lines = [f"{outcome.request_id}  {outcome.state}"]
    facts = (
        ("model", " ".join(filter(None, (outcome.model, outcome.version)))),
        ("class", outcome.class_),
        ("batch", outcome.batch_id),
        ("backend", outcome.backend),
        ("submitted", _millisecond(outcome.submitted_at)),
        ("finished", _millisecond(outcome.finished_at)),
        ("took", _duration(outcome)),
        ("data", None if outcome.r_d is None else f"{outcome.r_d} bytes"),
        ("error", ": ".join(filter(None, (outcome.error_class, outcome.error))) or None),
        ("repeated", _repeated(duplicates)),
        ("result at", outcome.result_ref.uri if outcome.result_ref else None),
        ("result", _truncated(bytes(outcome.result))),
    )
    lines += [f"  {name:<10} {value}" for name, value in facts if value]
    for attempt in outcome.attempts:
        lines += _attempt_lines(attempt)
    return printable("\n".join(lines)) + "\n"


def dead_text(letters: Sequence[DeadLetter]) -> str:
    """Format dead letters as a table."""
    if not letters:
        return "There are no dead letters.\n"
    rows = [
        (
            _second(letter.last_at),
            str(letter.times),
            str(letter.size),
            letter.resolution,
            letter.queue or "?",
            letter.reason,
            str(len(letter.requests)),
            _explanation(letter),
        )
        for letter in letters
    ]
    return printable(table([DEAD_LETTER_HEADINGS, *rows])) + "\n"


def _explanation(letter: DeadLetter) -> str:
    if letter.said:
        return letter.said
    first = " ".join(letter.requests[:1])
    if letter.reason != "rejected":
        return first
    # A rejected message cannot carry an explanation.
    return f"see the log of the consumer of {letter.queue or 'that queue'} {first}".rstrip()


def _attempt_lines(attempt: Attempt) -> Iterable[str]:
    end = "succeeded" if attempt.succeeded else f"{attempt.error_class}: {attempt.error}"
    cold = "" if attempt.cold_start is None else f", cold start {attempt.cold_start * 1000:.1f} ms"
    yield f"  attempt {attempt.number} on {attempt.backend} ({attempt.worker or 'no worker'}): {end}"
    yield f"    waited {attempt.wait * 1000:.1f} ms, served {attempt.service * 1000:.1f} ms{cold}"
    if attempt.reason is not None:
        yield f"    {format_reason(attempt.reason)}"


def _repeated(duplicates: DuplicateRequests) -> str | None:
    if not duplicates.count:
        return None
    text = f"{duplicates.count} time{'s' if duplicates.count != 1 else ''}"
    return f"{text}, {duplicates.conflicts} with other content" if duplicates.conflicts else text


def _duration(outcome: Outcome) -> str | None:
    if outcome.submitted_at is None:
        return None
    return f"{(outcome.finished_at - outcome.submitted_at) * 1000:.1f} ms"


def _truncated(result: bytes) -> str:
    text = result[:MAX_RESULT_BYTES].decode("utf-8", "replace")
    return text if len(result) <= MAX_RESULT_BYTES else f"{text}... ({len(result)} bytes in all)"


def _millisecond(time: float | None) -> str | None:
    if time is None:
        return None
    return datetime.fromtimestamp(time, UTC).isoformat(sep=" ", timespec="milliseconds")


def _second(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
