"""The first line of each `custom_id`, on disk so that memory does not grow with the job."""

import hashlib
import sqlite3
from typing import Final, Self

TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS ids (digest BLOB PRIMARY KEY, line INTEGER NOT NULL) WITHOUT ROWID;"
)


class CustomIds:
    """The `custom_id`s of a job's lines.

    Args:
        database: contains `TABLE`.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._db = database

    @classmethod
    def temporary(cls) -> Self:
        """Return an empty index in a temporary file."""
        database = sqlite3.connect("", isolation_level=None)
        database.executescript(TABLE)
        database.execute("BEGIN")
        return cls(database)

    def earlier(self, custom_id: str, number: int) -> int | None:
        """Add a `custom_id`; return the number of an earlier line with it, or None."""
        digest = hashlib.blake2b(custom_id.encode(errors="surrogatepass"), digest_size=16).digest()
        if self._db.execute("INSERT OR IGNORE INTO ids VALUES (?, ?)", (digest, number)).rowcount:
            return None
        (line,) = self._db.execute("SELECT line FROM ids WHERE digest = ?", (digest,)).fetchone()
        return int(line) if line != number else None

    def close(self) -> None:
        """Close the database, which removes a temporary one."""
        self._db.close()
