"""Committing a change of the registry: where the connection is lost, it is found out whether it stands."""

import time
from typing import Final

from sqlalchemy import Connection, select, text
from sqlalchemy.exc import DBAPIError

from outcomes.db.errors import CommitUncertain, LedgerUnavailable
from outcomes.db.translation import translated
from outcomes.schema.tables import MODEL_CHANGES

REGISTRY_LOCK_KEY: Final = 0x5354524752454701
"""Of Postgres's advisory locks: who changes the registry."""
VERIFY_TIMEOUT_S: Final = 15.0
"""Seconds in which a database that was started anew should answer again."""
VERIFY_RETRY_INTERVAL_S: Final = 0.5


def lock(connection: Connection) -> None:
    """Let nobody else change the registry until the transaction ends."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": REGISTRY_LOCK_KEY})


def commit_or_verify(connection: Connection, revision: int) -> None:
    """Commit the change of this revision; where the connection is lost, look whether it stands.

    Raises:
        DBAPIError: it does not stand.
        Unsettled: nobody can be asked.
    """
    try:
        connection.commit()
    except DBAPIError:
        if not _stands(connection, revision):
            raise


def _stands(connection: Connection, revision: int) -> bool:
    deadline = time.monotonic() + VERIFY_TIMEOUT_S
    while True:
        try:
            with translated():
                connection.rollback()  # it is lost: what comes next takes a fresh one
                lock(connection)  # who is still committing holds it
                found = select(MODEL_CHANGES.c.revision).where(MODEL_CHANGES.c.revision == revision)
                stands = connection.execute(found).first() is not None
                connection.rollback()
        except LedgerUnavailable as error:
            if time.monotonic() > deadline:
                raise CommitUncertain(
                    "the connection to the database was lost while the change was recorded, and whether it "
                    f"stands cannot be asked now, so nothing is taken back ({error}): when the database "
                    "answers again, see `python -m modelkit list`, and run the command again where it does "
                    "not stand"
                ) from error
            time.sleep(VERIFY_RETRY_INTERVAL_S)
        else:
            return stands
