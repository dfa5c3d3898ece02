"""Commits a registry change, and verifies it if the connection is lost during the commit."""

import time
from typing import Final

from sqlalchemy import Connection, select, text
from sqlalchemy.exc import DBAPIError

from outcomes.db.errors import CommitUncertain, LedgerUnavailable
from outcomes.db.translation import translated
from outcomes.schema.tables import MODEL_CHANGES

REGISTRY_LOCK_KEY: Final = 0x5354524752454701
"""Postgres advisory lock: its holder changes the registry."""
VERIFY_TIMEOUT_S: Final = 15.0
"""Time for a restarted database to answer again."""
VERIFY_RETRY_INTERVAL_S: Final = 0.5


def lock(connection: Connection) -> None:
    """Exclude other changes of the registry until the transaction ends."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": REGISTRY_LOCK_KEY})


def commit_or_verify(connection: Connection, revision: int) -> None:
    """Commit the change with this revision; if the connection is lost, check whether it was committed.

    Raises:
        DBAPIError: it was not committed.
        CommitUncertain: the database does not answer the check.
    """
    try:
        connection.commit()
    except DBAPIError:
        if not _committed(connection, revision):
            raise


def _committed(connection: Connection, revision: int) -> bool:
    deadline = time.monotonic() + VERIFY_TIMEOUT_S
    while True:
        try:
            with translated():
                connection.rollback()  # the next statement opens a new connection
                lock(connection)  # waits for a commit that is still in progress
                found = select(MODEL_CHANGES.c.revision).where(MODEL_CHANGES.c.revision == revision)
                committed = connection.execute(found).first() is not None
                connection.rollback()
        except LedgerUnavailable as error:
            if time.monotonic() > deadline:
                raise CommitUncertain(
                    "the database connection was lost during the commit, and whether the change was recorded "
                    f"is unknown, so nothing is taken back: {error}. When the database answers, check "
                    "`python -m modelkit list`, and run the command again if the change is missing"
                ) from error
            time.sleep(VERIFY_RETRY_INTERVAL_S)
        else:
            return committed
