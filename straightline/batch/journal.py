"""The journal of a batch job: a file of SQLite beside its output, from which it is taken up again.

It says how far the output was written when it was last safe. What was written after that is cut off and
written again, so that no line is there twice.
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
"""Of a file beside the journal that tells a running job to give up."""
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS job (about TEXT NOT NULL, state TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS done (line INTEGER PRIMARY KEY);
"""


class JobDescription(msgspec.Struct, frozen=True, kw_only=True):
    """Which job it is: what must be the same when it is taken up again.

    Attributes:
        id: UUIDv7.
        source: path of the input.
        size: of the input, bytes.
        digest: of the input's beginning and end.
        failed: path of the report.
        ordered: whether the output has the input's order.
        defaults: for lines that do not say it themselves.
        inbox: word for the address of results: those of what was on its way when the job broke off come to
            who takes it up again.
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
    """How far it came.

    Attributes:
        mark: every line before it is done.
        read_up_to: last line that may have been sent.
        out, failed: bytes of the files that are safe.
        lines, bytes, answered, ended, refused: of the input, that are done: all; in bytes; with an answer;
            of which the request ended otherwise; that were no request.
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


class JournalLocked(ConfigurationError):  # noqa: N818 - it says how the journal is
    """Another process has the journal."""


class Journal:
    """The journal at `path`, held by this process alone while it is open.

    Args:
        path: of it; made where it is not there and
        about: says what job it is; None opens one that is there.

    Raises:
        ConfigurationError: it is held by another process, belongs to another job, or cannot be written.
    """

    def __init__(self, path: Path, about: JobDescription | None) -> None:
        self.path = path
        mode = "rw" if about is None else "rwc"
        try:
            self._db = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=0.5
            )
        except sqlite3.Error as error:
            raise self._trouble(error) from error
        try:
            self._db.executescript("PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL;")
            self._db.executescript(_TABLES + TABLE)
            self._db.execute("BEGIN IMMEDIATE")
            self.about, self.progress = self._open(about)
            self._custom_ids = CustomIds(self._db)
        except sqlite3.Error as error:
            self._db.close()
            raise self._trouble(error) from error
        except ConfigurationError:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def earlier(self, custom_id: str, number: int) -> int | None:
        """Note a `custom_id`; return the number of the line that has had it before, or None."""
        return self._custom_ids.earlier(custom_id, number)

    def done(self, number: int) -> bool:
        """Whether a line behind the mark is done."""
        return self._db.execute("SELECT 1 FROM done WHERE line = ?", (number,)).fetchone() is not None

    def finish(self, number: int) -> None:
        """Note that a line is done."""
        self._db.execute("INSERT OR IGNORE INTO done VALUES (?)", (number,))

    def commit(self) -> None:
        """Make all that was noted safe, and `progress` with it.

        Raises:
            ConfigurationError: it cannot be written: the disk is full, say.
        """
        try:
            self._db.execute("DELETE FROM done WHERE line < ?", (self.progress.mark.number,))
            state = msgspec.json.encode(self.progress).decode()
            self._db.execute("UPDATE job SET state = ?", (state,))
            self._db.execute("COMMIT")
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise self._trouble(error) from error

    def close(self) -> None:
        """Let go of it; what was not committed is forgotten."""
        self._db.close()

    def remove(self) -> None:
        """Close it and remove it: the job is done."""
        # While it is held, so that nobody opens it; where that cannot be, once it is closed.
        with contextlib.suppress(OSError):
            self.path.unlink()
        self.close()
        for suffix in ("", "-wal", "-shm", CANCEL_SUFFIX):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def _open(self, about: JobDescription | None) -> tuple[JobDescription, Progress]:
        row = self._db.execute("SELECT about, state FROM job").fetchone()
        if row is None:
            if about is None:
                raise ConfigurationError(f"{self.path} is no journal of a job: nothing was submitted")
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
            raise ConfigurationError(f"the journal {self.path} is of another version: {error}") from error
        if about is not None and msgspec.structs.replace(about, id=known.id, inbox=known.inbox) != known:
            changed = [
                field
                for field in ("source", "size", "digest", "failed", "ordered", "defaults")
                if getattr(about, field) != getattr(known, field)
            ]
            raise ConfigurationError(
                f"the journal {self.path} is of another job ({', '.join(changed)} differ): give the same "
                "arguments to take it up again, `straightline batch cancel` to give it up, or another --out"
            )
        return known, progress

    def _trouble(self, error: sqlite3.Error) -> ConfigurationError:
        if "locked" in str(error):
            return JournalLocked(f"the job of {self.path} is running already, in another process")
        return ConfigurationError(f"the journal {self.path} cannot be used: {error}")


def journal_path(out: Path) -> Path:
    """Return where the journal of an output is."""
    return out.with_name(out.name + SUFFIX)


def cancel_marker_path(journal: Path) -> Path:
    """Return the file that tells a running job to give up."""
    return journal.with_name(journal.name + CANCEL_SUFFIX)
