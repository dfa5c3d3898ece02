"""The job store of `straightline batch`: result file, report of failed lines, journal."""

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
"""Of results that wait for earlier lines, in an ordered job."""


class FileJobStore:
    """A job store in files; see `straightline.batch.job_store.JobStore`.

    Args:
        journal: the open journal.
        out: path of the results.

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
            self._out = _open_at(out, journal.progress.out)
            self._failed = _open_at(Path(journal.about.failed), journal.progress.failed)
        except OSError as error:
            raise ConfigurationError(
                f"the output cannot be written: {error}. Give --out and --failed writable paths"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._out.close()
        self._failed.close()

    def mark(self) -> Checkpoint:
        """Return where to continue reading."""
        return self.journal.progress.mark

    def sent(self, number: int) -> bool:
        """Return whether an earlier run may have sent the line."""
        return number <= self._was_read_up_to

    def done(self, number: int) -> bool:
        """Return whether a line after the checkpoint is finished."""
        return self.sent(number) and self.journal.done(number)

    def earlier(self, custom_id: str, number: int) -> int | None:
        """Add a `custom_id`; return the number of an earlier line with it, or None."""
        return self.journal.earlier(custom_id, number)

    def crowded(self) -> bool:
        """Return whether too many results wait for earlier ones."""
        return self._held_bytes > MAX_HELD_BYTES

    def answered(self, place: LinePosition, custom_id: str | None, outcome: Outcome) -> None:
        """Write the result of a line, or keep it until its turn."""
        text = answered_line(place.number, custom_id, outcome)
        if self._ordered:
            self._held[place.number] = (text, place.size)
            self._held_bytes += len(text)
        else:
            self._write(text, place.size)
            self.journal.finish(place.number)

    def failed(self, line: Line, failure: LineFailure) -> None:
        """Write the failure of a line."""
        self._count(line.size)
        if failure.state == "refused":
            self.journal.progress.refused += 1
        else:
            self.journal.progress.ended += 1
        self._failed.write(failed_line(failure, line.text, self._defaults))
        self.journal.finish(line.number)

    def commit(self, mark: Checkpoint, read_up_to: int) -> None:
        """Sync the files to disk, then the journal."""
        progress = self.journal.progress
        for number in sorted(number for number in self._held if number < mark.number):
            text, size = self._held.pop(number)
            self._held_bytes -= len(text)
            self._write(text, size)
        progress.mark = mark
        progress.read_up_to = max(read_up_to, progress.read_up_to)
        progress.out, progress.failed = _sync(self._out), _sync(self._failed)
        self.journal.commit()

    def cancelling(self) -> bool:
        """Return whether `straightline batch cancel` was called."""
        return self._cancel_file.exists()

    def _write(self, text: bytes, size: int) -> None:
        self._out.write(text)
        self._count(size)
        self.journal.progress.answered += 1

    def _count(self, size: int) -> None:
        self.journal.progress.lines += 1
        self.journal.progress.bytes += size


def _open_at(path: Path, size: int) -> BinaryIO:
    """Open a file for appending after its synced part."""
    file = path.open("r+b" if path.exists() else "w+b")
    if file.seek(0, os.SEEK_END) < size:
        file.close()
        raise ConfigurationError(f"{path} is shorter than its journal says: remove both to start again")
    file.seek(size)
    file.truncate()
    return file


def _sync(file: BinaryIO) -> int:
    file.flush()
    os.fsync(file.fileno())
    return file.tell()
