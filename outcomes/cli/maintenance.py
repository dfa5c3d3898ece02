"""`python -m outcomes migrate | retain | dead`: what keeps the ledger in order."""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Engine

from outcomes.cli.report import dead_text
from outcomes.db.database import connected, engine_for
from outcomes.db.translation import translated
from outcomes.reconciling.dead_letter_table import dead_letters
from outcomes.schema.migrate import upgrade
from outcomes.schema.partitions import create_ahead, retain
from outcomes.schema.roles import GRANTS, PASSWORD_PREFIX, create_roles, grant
from outcomes.settings import QuerySettings, owner_url
from straightline.settings import load
from straightline.support.durations import duration_argument
from straightline.support.passwords import read_passwords

LOCK_TIMEOUT_S: Final = 10.0
"""Seconds that a change of the tables may wait for those who work on them, and have others wait behind it."""


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the commands to those of `python -m outcomes`."""
    dead = commands.add_parser("dead", help="messages that nobody could work, and what became of them")
    dead.add_argument("--since", type=duration_argument, default="7d", help="how far back (default 7d)")
    dead.add_argument("--limit", type=int, default=100, help="most of them, the last ones (default 100)")
    dead.add_argument("--json", action="store_true", help="JSON instead of a table")
    dead.set_defaults(run=_dead)

    keep = commands.add_parser("retain", help="delete what is older, whole days at once; for a daily timer")
    keep.add_argument(
        "--keep", type=duration_argument, required=True, help="how much stays: 30d, 12w (at least 2d)"
    )
    keep.set_defaults(run=_retain)

    migrate = commands.add_parser(
        "migrate",
        help="make the tables, or bring them up to date; and the roles whose passwords stand in "
        f"{PASSWORD_PREFIX}<ROLE> ({', '.join(GRANTS)})",
    )
    migrate.set_defaults(run=_migrate)


def _dead(asked: argparse.Namespace) -> int:
    since = datetime.now(UTC) - asked.since
    with connected(_url(), name="straightline-dead") as connection:
        found = dead_letters(connection, since, limit=max(1, asked.limit))
    if asked.json:
        print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode("utf-8", "replace"))
    else:
        print(dead_text(found), end="")
    return 0


def _retain(asked: argparse.Namespace) -> int:
    now = datetime.now(UTC)
    with _engine(owner_url(os.environ), "straightline-retain") as engine:
        create_ahead(engine, now)
        done = retain(engine, now, asked.keep)
    print(f"Dropped {len(done.partitions)} partitions and {done.rows} rows beside them.")
    return 0


def _migrate(_asked: argparse.Namespace) -> int:
    url = owner_url(os.environ)
    passwords = read_passwords(os.environ, PASSWORD_PREFIX, GRANTS)
    upgrade(url)
    with _engine(url, "straightline-migrate") as engine:
        create_ahead(engine, datetime.now(UTC))
        with translated(), engine.begin() as connection:
            create_roles(connection, passwords)
            there = grant(connection)
    print("The ledger's tables stand" + (f", and the roles of {', '.join(there)}." if there else "."))
    return 0


@contextmanager
def _engine(url: str, name: str) -> Iterator[Engine]:
    engine = engine_for(url, name=name, lock_timeout=LOCK_TIMEOUT_S)
    try:
        yield engine
    finally:
        engine.dispose()


def _url() -> str:
    return load(QuerySettings, os.environ).database_url
