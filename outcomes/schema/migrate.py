"""Migrates a database to a version of the ledger's schema."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from outcomes.db.translation import translated
from straightline.errors import ConfigurationError

CONFIG_FILE: Final = Path(__file__).resolve().parents[2] / "migrations" / "alembic.ini"


def upgrade(url: str, revision: str = "head") -> None:
    """Migrate the database at `url` up to `revision`. Idempotent.

    Raises:
        ConfigurationError: the URL is invalid, or this code does not know the database's version.
        LedgerUnavailable: Postgres does not answer, or a lock was not available.
        LedgerRefused: Postgres rejects a statement.
    """
    with translated():
        try:
            command.upgrade(_config(url), revision)
        except CommandError as error:
            raise ConfigurationError(f"the database cannot be migrated: {error}") from error


def downgrade(url: str, revision: str = "base") -> None:
    """Migrate the database at `url` down to `revision`; data of later versions is lost.

    Raises:
        ConfigurationError, LedgerUnavailable, LedgerRefused: as for `upgrade`.
    """
    with translated():
        try:
            command.downgrade(_config(url), revision)
        except CommandError as error:
            raise ConfigurationError(f"the database cannot be migrated: {error}") from error


def _config(url: str) -> Config:
    config = Config(str(CONFIG_FILE))
    config.attributes["url"] = url
    return config
