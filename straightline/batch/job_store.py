"""What a job keeps of itself: how far it came, and what became of its lines."""

from typing import Protocol

import msgspec

from straightline.batch.items import LineFailure
from straightline.batch.lines import Line
from straightline.contracts.outcome import Outcome


class Checkpoint(msgspec.Struct, frozen=True):
    """A place in the input: every line before it is done.

    Attributes:
        number: of the line there.
        offset: of its first byte.
    """

    number: int = 1
    offset: int = 0


class LinePosition(msgspec.Struct, frozen=True):
    """Where a line stands in the input, to read it again: its number, first byte and size in bytes."""

    number: int
    offset: int
    size: int


class JobStore(Protocol):
    """Keeps a job. All is called by the thread that runs the job."""

    def mark(self) -> Checkpoint:
        """Return from where on lines are to be read."""

    def sent(self, number: int) -> bool:
        """Whether the line may have been sent before."""

    def done(self, number: int) -> bool:
        """Whether a line behind the mark is done."""

    def earlier(self, custom_id: str, number: int) -> int | None:
        """Note a `custom_id`; return the number of the line that has had it before, or None."""

    def crowded(self) -> bool:
        """Whether no more is to be sent until an earlier line is done."""

    def answered(self, place: LinePosition, custom_id: str | None, outcome: Outcome, /) -> None:
        """Keep the answer to a line."""

    def failed(self, line: Line, why: LineFailure) -> None:
        """Keep why a line has none."""

    def commit(self, mark: Checkpoint, read_up_to: int) -> None:
        """Make all of this safe, and the mark, and the number of the last line that was read."""

    def cancelling(self) -> bool:
        """Whether the job is to be given up."""
