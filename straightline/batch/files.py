"""A job that is kept in files: its answers, the report of failed lines, and the journal beside them."""

import os
from pathlib import Path
from typing import BinaryIO, Final, Self

from straightline.batch.items import LineFailure, answered_line, failed_line
from straightline.batch.job_store import Checkpoint, LinePosition
from straightline.batch.journal import Journal, cancel_marker_path
from straightline.batch.lines import Line
from straightline.contracts.outcome import Outcome
from straightline.errors import ConfigurationError

MAX_HELD_BYTES: Final = 64 * 1024 * 1024
"""Bytes of answers that wait for those to earlier lines, where the order is kept."""


class FileJobStore:
    """The book of a job in files; see `straightline.batch.job_store.JobStore`.

    Args:
        journal: open.
        out: path of the answers.

    Raises:
        ConfigurationError: a file cannot be written.
    """

    def __init__(self, journal: Journal, out: Path) -> None:
        self.journal = journal
        self._ordered = journal.about.ordered
        self._defaults = journal.about.defaults
        self._cancel_file = cancel_marker_path(journal.path)
        self._was_read_up_to = journal.progress.read_up_to
        self._held: dict[int, tuple[bytes, int]] = {}
        self._held_bytes = 0
        try:
            self._out = _at(out, journal.progress.out)
            self._failed = _at(Path(journal.about.failed), journal.progress.failed)
        except OSError as error:
            raise ConfigurationError(f"the output cannot be written: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._out.close()
        self._failed.close()

    def mark(self) -> Checkpoint:
        """Return from where on lines are to be read."""
        return self.journal.progress.mark

    def sent(self, number: int) -> bool:
        """Whether the line may have been sent in an earlier run."""
        return number <= self._was_read_up_to

    def done(self, number: int) -> bool:
        """Whether a line behind the mark is done."""
        return self.sent(number) and self.journal.done(number)

    def earlier(self, custom_id: str, number: int) -> int | None:
        """Note a `custom_id`; return the number of the line that has had it before, or None."""
        return self.journal.earlier(custom_id, number)

    def crowded(self) -> bool:
        """Whether too many answers wait for earlier ones."""
        return self._held_bytes > MAX_HELD_BYTES

    def answered(self, place: LinePosition, custom_id: str | None, outcome: Outcome) -> None:
        """Write the answer to a line, or hold it until its turn."""
        text = answered_line(place.number, custom_id, outcome)
        if self._ordered:
            self._held[place.number] = (text, place.size)
            self._held_bytes += len(text)
        else:
            self._write(text, place.size)
            self.journal.finish(place.number)

    def failed(self, line: Line, why: LineFailure) -> None:
        """Write why a line has no answer."""
        self._count(line.size)
        if why.state == "refused":
            self.journal.progress.refused += 1
        else:
            self.journal.progress.ended += 1
        self._failed.write(failed_line(why, line.text, self._defaults))
        self.journal.finish(line.number)

    def commit(self, mark: Checkpoint, read_up_to: int) -> None:
        """Make all of this safe: the files first, then the journal."""
        progress = self.journal.progress
        for number in sorted(number for number in self._held if number < mark.number):
            text, size = self._held.pop(number)
            self._held_bytes -= len(text)
            self._write(text, size)
        progress.mark = mark
        progress.read_up_to = max(read_up_to, progress.read_up_to)
        progress.out, progress.failed = _safe(self._out), _safe(self._failed)
        self.journal.commit()

    def cancelling(self) -> bool:
        """Whether `straightline batch cancel` was called."""
        return self._cancel_file.exists()

    def _write(self, text: bytes, size: int) -> None:
        self._out.write(text)
        self._count(size)
        self.journal.progress.answered += 1

    def _count(self, size: int) -> None:
        self.journal.progress.lines += 1
        self.journal.progress.bytes += size


def _at(path: Path, size: int) -> BinaryIO:
    """Open a file to go on writing behind what is safe of it."""
    file = path.open("r+b" if path.exists() else "w+b")
    if file.seek(0, os.SEEK_END) < size:
        file.close()
        raise ConfigurationError(f"{path} is shorter than its journal says: remove both to begin anew")
    file.seek(size)
    file.truncate()
    return file


def _safe(file: BinaryIO) -> int:
    file.flush()
    os.fsync(file.fileno())
    return file.tell()
