"""Which line had a `custom_id` first; on disk, since a million of them would fill the memory."""

import hashlib
import sqlite3
from typing import Final, Self

TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS ids (digest BLOB PRIMARY KEY, line INTEGER NOT NULL) WITHOUT ROWID;"
)


class CustomIds:
    """The `custom_id`s of a job's lines.

    Args:
        database: where they are kept; it has the table above.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._db = database

    @classmethod
    def temporary(cls) -> Self:
        """Return an empty one, in a file that goes with it."""
        database = sqlite3.connect("", isolation_level=None)
        database.executescript(TABLE)
        database.execute("BEGIN")
        return cls(database)

    def earlier(self, custom_id: str, number: int) -> int | None:
        """Note a `custom_id`; return the number of the line that has had it before, or None."""
        digest = hashlib.blake2b(custom_id.encode(errors="surrogatepass"), digest_size=16).digest()
        if self._db.execute("INSERT OR IGNORE INTO ids VALUES (?, ?)", (digest, number)).rowcount:
            return None
        (line,) = self._db.execute("SELECT line FROM ids WHERE digest = ?", (digest,)).fetchone()
        return int(line) if line != number else None

    def close(self) -> None:
        """Forget them, where they are temporary."""
        self._db.close()
