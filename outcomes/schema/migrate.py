"""Bring a database to the ledger's newest version, and back."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from outcomes.db.translation import translated
from straightline.errors import ConfigurationError

FILE: Final = Path(__file__).resolve().parents[2] / "migrations" / "alembic.ini"


def upgrade(url: str, revision: str = "head") -> None:
    """Migrate the database at `url` up to `revision`; doing it again changes nothing.

    Raises:
        ConfigurationError: the URL is none, or the database has a version that this code does not know.
        LedgerUnavailable: Postgres does not answer.
        LedgerRefused: Postgres refuses a statement, as when a right is missing.
    """
    with translated():
        try:
            command.upgrade(_config(url), revision)
        except CommandError as error:
            raise ConfigurationError(f"the database cannot be migrated: {error}") from error


def downgrade(url: str, revision: str = "base") -> None:
    """Migrate the database at `url` down to `revision`, losing what the later versions hold.

    Raises:
        ConfigurationError: as for `upgrade`.
        LedgerUnavailable: Postgres does not answer.
        LedgerRefused: Postgres refuses a statement.
    """
    with translated():
        try:
            command.downgrade(_config(url), revision)
        except CommandError as error:
            raise ConfigurationError(f"the database cannot be migrated: {error}") from error


def _config(url: str) -> Config:
    config = Config(str(FILE))
    config.attributes["url"] = url
    return config
