"""The journal of a batch job: an SQLite file beside its output, from which the job is resumed.

It records how far the output was synced. Output after that point is truncated and written again, so that no
line is duplicated.
"""

import contextlib
import sqlite3
from pathlib import Path
from typing import Final, Self

import msgspec

from straightline.batch.custom_ids import TABLE, CustomIds
from straightline.batch.items import Defaults
from straightline.batch.job_store import Checkpoint
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ConfigurationError, ContractError

SUFFIX: Final = ".job"
CANCEL_SUFFIX: Final = ".cancel"
"""Of a marker file beside the journal, which cancels a running job."""
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS job (about TEXT NOT NULL, state TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS done (line INTEGER PRIMARY KEY);
"""


class JobDescription(msgspec.Struct, frozen=True, kw_only=True):
    """The identity of a job: what must not change when it is resumed.

    Attributes:
        id: UUIDv7.
        source: path of the input.
        size: size of the input, bytes.
        digest: digest of the input's beginning and end.
        failed: path of the report.
        ordered: whether results are written in input order.
        defaults: for lines without these fields.
        inbox: address of results; a resumed job receives the results of requests that were in flight.
    """

    id: str
    source: str
    size: int
    digest: str
    failed: str
    ordered: bool
    defaults: Defaults
    inbox: str | None = None


class Progress(msgspec.Struct, kw_only=True):
    """The progress of a job.

    Attributes:
        mark: position before which every line is finished.
        read_up_to: number of the last line that may have been sent.
        out, failed: synced bytes of the files.
        lines, bytes: finished lines and their bytes.
        answered, ended, refused: lines with a result; whose request ended without one; that are invalid.
    """

    mark: Checkpoint = Checkpoint()
    read_up_to: int = 0
    out: int = 0
    failed: int = 0
    lines: int = 0
    bytes: int = 0
    answered: int = 0
    ended: int = 0
    refused: int = 0


class JournalLocked(ConfigurationError):  # noqa: N818 - named for the state of the journal
    """Another process has opened the journal."""


class Journal:
    """The journal at `path`, locked by this process while it is open.

    Args:
        path: path of the file.
        about: the job, for a new journal or to be compared with an existing one; None opens an existing one.

    Raises:
        ConfigurationError: the journal is locked, belongs to another job, or cannot be written.
    """

    def __init__(self, path: Path, about: JobDescription | None) -> None:
        self.path = path
        mode = "rw" if about is None else "rwc"
        try:
            self._db = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=0.5
            )
        except sqlite3.Error as error:
            raise self._error(error) from error
        try:
            self._db.executescript("PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL;")
            self._db.executescript(_TABLES + TABLE)
            self._db.execute("BEGIN IMMEDIATE")
            self.about, self.progress = self._open(about)
            self._custom_ids = CustomIds(self._db)
        except sqlite3.Error as error:
            self._db.close()
            raise self._error(error) from error
        except ConfigurationError:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def earlier(self, custom_id: str, number: int) -> int | None:
        """Add a `custom_id`; return the number of an earlier line with it, or None."""
        return self._custom_ids.earlier(custom_id, number)

    def done(self, number: int) -> bool:
        """Return whether a line after the checkpoint is finished."""
        return self._db.execute("SELECT 1 FROM done WHERE line = ?", (number,)).fetchone() is not None

    def finish(self, number: int) -> None:
        """Record that a line is finished."""
        self._db.execute("INSERT OR IGNORE INTO done VALUES (?)", (number,))

    def commit(self) -> None:
        """Persist the finished lines and `progress`.

        Raises:
            ConfigurationError: the journal cannot be written, for example since the disk is full.
        """
        try:
            self._db.execute("DELETE FROM done WHERE line < ?", (self.progress.mark.number,))
            state = msgspec.json.encode(self.progress).decode()
            self._db.execute("UPDATE job SET state = ?", (state,))
            self._db.execute("COMMIT")
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise self._error(error) from error

    def close(self) -> None:
        """Unlock the journal without committing."""
        self._db.close()

    def remove(self) -> None:
        """Remove the journal of a finished job."""
        # While it is locked, so that no other process opens it; on Windows after it is closed.
        with contextlib.suppress(OSError):
            self.path.unlink()
        self.close()
        for suffix in ("", "-wal", "-shm", CANCEL_SUFFIX):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def _open(self, about: JobDescription | None) -> tuple[JobDescription, Progress]:
        row = self._db.execute("SELECT about, state FROM job").fetchone()
        if row is None:
            if about is None:
                raise ConfigurationError(f"{self.path} is not the journal of a job: nothing was submitted")
            progress = Progress()
            content = (msgspec.json.encode(about).decode(), msgspec.json.encode(progress).decode())
            self._db.execute("INSERT INTO job VALUES (?, ?)", content)
            self._db.execute("COMMIT")
            self._db.execute("BEGIN IMMEDIATE")
            return about, progress
        try:
            known = decode(row[0], JobDescription)
            progress = decode(row[1], Progress)
        except ContractError as error:
            raise ConfigurationError(f"the journal {self.path} has another version: {error}") from error
        if about is not None and msgspec.structs.replace(about, id=known.id, inbox=known.inbox) != known:
            changed = [
                field
                for field in ("source", "size", "digest", "failed", "ordered", "defaults")
                if getattr(about, field) != getattr(known, field)
            ]
            raise ConfigurationError(
                f"the journal {self.path} belongs to another job ({', '.join(changed)} differ): repeat its "
                "arguments to resume it, cancel it with `straightline batch cancel`, or give another --out"
            )
        return known, progress

    def _error(self, error: sqlite3.Error) -> ConfigurationError:
        if "locked" in str(error):
            return JournalLocked(f"the job of {self.path} is running already, in another process")
        return ConfigurationError(f"the journal {self.path} cannot be used: {error}")


def journal_path(out: Path) -> Path:
    """Return the path of an output's journal."""
    return out.with_name(out.name + SUFFIX)


def cancel_marker_path(journal: Path) -> Path:
    """Return the path of the marker file that cancels a running job."""
    return journal.with_name(journal.name + CANCEL_SUFFIX)
