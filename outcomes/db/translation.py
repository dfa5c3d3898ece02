"""Translates errors of SQLAlchemy and psycopg2 into errors of the ledger."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg2
import psycopg2.errors
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolExhausted

from outcomes.db.errors import LedgerBusy, LedgerNotMigrated, LedgerRefused, LedgerUnavailable
from straightline.errors import StraightLineError

MIGRATE_COMMAND: Final = "python -m outcomes migrate"
URL_SETTING: Final = "STRAIGHTLINE_DATABASE_URL"
"""Default setting that error messages name; callers that read the URL elsewhere pass theirs."""

_VALUE_ERRORS: Final = ("22", "23", "54")
"""SQLSTATE classes that blame the values: data exception, integrity violation, program limit exceeded.

Any other error (connection lost, lock, disk full, read-only standby, missing right, server fault) may pass,
so no row is given up for it.
"""
_CONNECTION_ERRORS: Final = ("08", "28", "3D")
"""SQLSTATE classes: connection exception, invalid authorization, invalid catalog name."""


@contextmanager
def translated(setting: str = URL_SETTING) -> Iterator[None]:
    """Raise the ledger's errors in place of those of SQLAlchemy and psycopg2.

    Args:
        setting: the setting that gave the URL, named in messages.

    Raises:
        LedgerUnavailable: Postgres is unreachable or cannot do it now.
        LedgerBusy: the connection pool is exhausted.
        LedgerNotMigrated: a table or column is missing.
        LedgerRefused: Postgres rejects the statement or a value in it.
    """
    try:
        yield
    except DBAPIError as error:
        raise translate(error.orig, setting) from error
    except PoolExhausted as error:
        raise LedgerBusy(
            "no free database connection: the connection pool is exhausted (slow database or high load). "
            "Retry later"
        ) from error
    except psycopg2.Error as error:  # from the driver's own COPY
        raise translate(error, setting) from error


def translate(error: BaseException | None, setting: str = URL_SETTING) -> StraightLineError:
    """Return the ledger's error for an error of the driver; `setting` gave the URL."""
    # Only the server's primary message: detail and context repeat the row's values, which must not be logged.
    said = getattr(getattr(error, "diag", None), "message_primary", None)
    said = said or " ".join(str(error).split()) or type(error).__name__
    code: str | None = getattr(error, "pgcode", None)
    if isinstance(error, (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedColumn)):
        return LedgerNotMigrated(f"the database is not migrated: {said}; run `{MIGRATE_COMMAND}`")
    if isinstance(error, psycopg2.errors.CheckViolation) and error.diag.constraint_name is None:
        # The row went to the default partition while its day's partition was attached; a retry finds that
        # one.
        return LedgerUnavailable(f"a partition was attached meanwhile: {said}; retry")
    if code is not None and code.startswith(_VALUE_ERRORS):
        return LedgerRefused(f"the database rejects the values: {said}")
    if code is None or code.startswith(_CONNECTION_ERRORS):
        return LedgerUnavailable(
            f"the database does not answer: {said}; check that it is running and that {setting} is right"
        )
    if isinstance(error, psycopg2.errors.InsufficientPrivilege):
        return LedgerUnavailable(
            f"the database denies access: {said}; use the URL of a role with this right; `migrate`, `retain` "
            "and `keys` take the owner's from STRAIGHTLINE_DATABASE_OWNER_URL"
        )
    return LedgerUnavailable(f"the database cannot do it now: {said}")
