"""The log's line for each request that has ended."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import msgspec

from outcomes.rows.row_mapping import Entry
from straightline.support.event_log import Event, Field, printable
from straightline.support.logs import LogOutput

EVENT: Final = "request_ended"
LEVEL: Final = "INFO"

_encode: Final = msgspec.json.Encoder().encode


class RequestLine(msgspec.Struct, omit_defaults=True, rename={"class_": "class"}):
    """Fields of the event; those without a value are left out.

    Attributes:
        request_id, state, model, version, class_, backend, error_class: as in the outcome.
        attempts: their number.
        queued_s: seconds that the last attempt waited for its start.
        service_s: seconds that the last attempt took in the backend.
        total_s: seconds between the scheduler's receipt and the end.
    """

    request_id: str
    state: str
    model: str | None = None
    version: str | None = None
    class_: str | None = None
    backend: str | None = None
    attempts: int = 0
    queued_s: float | None = None
    service_s: float | None = None
    total_s: float | None = None
    error_class: str | None = None


class RequestLog:
    """Writes the lines of a batch at once, without log records, since every request passes here.

    A recorder that is killed between commit and write loses lines; the ledger has the outcomes.

    Args:
        output: the log of this process.
    """

    def __init__(self, output: LogOutput) -> None:
        self._output = output

    def write(self, entries: Sequence[Entry]) -> None:
        """Write a line for each outcome. A log that cannot be written to must not stop the recorder."""
        if not entries:
            return
        lines = map(_line, entries)
        with suppress(OSError, ValueError):
            self._output.write(self._json(lines) if self._output.json else self._text(lines))

    def _json(self, lines: Iterable[RequestLine]) -> str:
        head = _encode(
            {"ts": datetime.now(UTC), "level": LEVEL, "component": self._output.component, "event": EVENT}
        )
        head = head[:-1] + b","
        return b"".join([head + _encode(line)[1:] + b"\n" for line in lines]).decode()

    def _text(self, lines: Iterable[RequestLine]) -> str:
        time = datetime.now(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
        head = f"{time} {LEVEL} {self._output.component} "
        return "".join(f"{head}{Event(EVENT, _fields(line))}\n" for line in lines)


def _line(entry: Entry) -> RequestLine:
    outcome = entry.source
    line = RequestLine(
        entry.request_id,
        outcome.state,
        _printable(outcome.model),
        _printable(outcome.version),
        outcome.class_,
        outcome.backend,
        len(outcome.attempts),
    )
    if outcome.attempts:
        last = outcome.attempts[-1]
        line.queued_s, line.service_s = last.wait, last.service
    if outcome.received_at is not None:
        line.total_s = outcome.finished_at - outcome.received_at
    if outcome.error_class is not None:
        line.error_class = printable(outcome.error_class)
    return line


def _printable(text: str | None) -> str | None:
    return text if text is None else printable(text)


def _fields(line: RequestLine) -> dict[str, Field]:
    fields: dict[str, Field] = msgspec.to_builtins(line)
    return fields
