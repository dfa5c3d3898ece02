"""`python -m outcomes migrate | retain`: maintain the schema and delete old data."""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Engine

from outcomes.cli.command import add_command
from outcomes.db.database import engine_for
from outcomes.db.translation import translated
from outcomes.schema.migrate import upgrade
from outcomes.schema.partitions import create_ahead, retain
from outcomes.schema.roles import GRANTS, PASSWORD_PREFIX, create_roles, grant
from outcomes.settings import owner_url
from straightline.support.durations import duration_argument
from straightline.support.passwords import read_passwords

LOCK_TIMEOUT_S: Final = 10.0
"""Time that a change of the tables may wait for running statements, while later ones queue behind it."""


def register(commands: Any) -> None:
    """Add the commands to the parser."""
    keep = add_command(
        commands,
        "retain",
        help="delete old data, whole days at once; run it from a daily timer",
        example="python -m outcomes retain --keep 30d",
    )
    keep.add_argument(
        "--keep",
        type=duration_argument,
        required=True,
        metavar="T",
        help="age to keep, such as 30d or 12w; at least 2d",
    )
    keep.set_defaults(run=_retain)

    migrate = add_command(
        commands,
        "migrate",
        help="create or update the tables, and the roles with a password in "
        f"{PASSWORD_PREFIX}<ROLE> ({', '.join(GRANTS)})",
        example="python -m outcomes migrate",
    )
    migrate.set_defaults(run=_migrate)


def _retain(asked: argparse.Namespace) -> int:
    now = datetime.now(UTC)
    with _engine(owner_url(os.environ), "straightline-retain") as engine:
        create_ahead(engine, now)
        done = retain(engine, now, asked.keep)
    print(f"Dropped {len(done.partitions)} partitions and {done.rows} rows outside daily partitions.")
    return 0


def _migrate(_asked: argparse.Namespace) -> int:
    url = owner_url(os.environ)
    passwords = read_passwords(os.environ, PASSWORD_PREFIX, GRANTS)
    upgrade(url)
    with _engine(url, "straightline-migrate") as engine:
        create_ahead(engine, datetime.now(UTC))
        with translated(), engine.begin() as connection:
            create_roles(connection, passwords)
            granted = grant(connection)
    print("The tables are up to date" + (f"; roles: {', '.join(granted)}." if granted else "."))
    return 0


@contextmanager
def _engine(url: str, name: str) -> Iterator[Engine]:
    engine = engine_for(url, name=name, lock_timeout=LOCK_TIMEOUT_S)
    try:
        yield engine
    finally:
        engine.dispose()
