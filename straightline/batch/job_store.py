"""The interface of a job's storage: progress, results and failures."""

from typing import Protocol

import msgspec

from straightline.batch.items import LineFailure
from straightline.batch.lines import Line
from straightline.contracts.outcome import Outcome


class Checkpoint(msgspec.Struct, frozen=True):
    """A position in the input before which every line is finished.

    Attributes:
        number: line number there.
        offset: offset of the line's first byte.
    """

    number: int = 1
    offset: int = 0


class LinePosition(msgspec.Struct, frozen=True):
    """Position of an input line: its number, offset and size in bytes."""

    number: int
    offset: int
    size: int


class JobStore(Protocol):
    """Stores a job. All methods are called on the thread that runs the job."""

    def mark(self) -> Checkpoint:
        """Return where to continue reading."""

    def sent(self, number: int) -> bool:
        """Return whether the line may have been sent before."""

    def done(self, number: int) -> bool:
        """Return whether a line after the checkpoint is finished."""

    def earlier(self, custom_id: str, number: int) -> int | None:
        """Add a `custom_id`; return the number of an earlier line with it, or None."""

    def crowded(self) -> bool:
        """Return whether to send nothing until an earlier line is finished."""

    def answered(self, place: LinePosition, custom_id: str | None, outcome: Outcome, /) -> None:
        """Store the result of a line."""

    def failed(self, line: Line, failure: LineFailure) -> None:
        """Store the failure of a line."""

    def commit(self, mark: Checkpoint, read_up_to: int) -> None:
        """Persist everything stored, the checkpoint, and the number of the last line read."""

    def cancelling(self) -> bool:
        """Return whether the job is being cancelled."""
