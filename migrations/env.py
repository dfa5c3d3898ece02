"""Alembic's entry point: connects to the database and applies migrations."""

import os

import msgspec
from alembic import context

from outcomes.db.database import engine_for
from outcomes.schema.tables import METADATA
from straightline.settings import load


class Settings(msgspec.Struct, frozen=True):
    """Settings of a migration whose caller gives no URL."""

    database_url: str


def _url() -> str:
    given: str | None = context.config.attributes.get("url")
    return given or load(Settings, os.environ).database_url


def _known(name: str | None, kind: str, _parents: object) -> bool:
    """Tell whether a comparison with the code covers a table; partitions are created at run time."""
    return kind != "table" or name in METADATA.tables


def run() -> None:
    """Print the SQL (`--sql`), or apply it in one transaction."""
    if context.is_offline_mode():
        context.configure(url=_url(), target_metadata=METADATA, literal_binds=True)
        with context.begin_transaction():
            context.run_migrations()
        return
    engine = engine_for(_url(), name="straightline-migrate")
    try:
        with engine.connect() as connection:
            context.configure(connection=connection, target_metadata=METADATA, include_name=_known)
            with context.begin_transaction():
                context.run_migrations()
    finally:
        engine.dispose()


run()
