"""`python -m outcomes failures | show | dead`: query the ledger."""

import argparse
import os
import sys
from datetime import UTC, datetime
from typing import Any

from outcomes.cli.command import add_command, to_json
from outcomes.cli.exit_codes import NOT_FOUND
from outcomes.cli.report import dead_text, failures_text, outcome_text
from outcomes.db.database import connected
from outcomes.queries.failures import failures
from outcomes.queries.outcomes import duplicate_requests_of, outcome_of
from outcomes.reconciling.dead_letter_table import dead_letters
from outcomes.settings import QuerySettings
from straightline.settings import load
from straightline.support.durations import duration_argument


def register(commands: Any) -> None:
    """Add the commands to the parser."""
    rates = add_command(
        commands,
        "failures",
        help="show failure rates of backends and models",
        example="python -m outcomes failures --since 24h --model digits",
    )
    rates.add_argument(
        "--since",
        type=duration_argument,
        default="1h",
        metavar="T",
        help="length of the window, such as 30s, 15m, 1h or 7d (default: 1h)",
    )
    rates.add_argument("--model", help="show this model only")
    rates.add_argument("--json", action="store_true", help="print JSON")
    rates.set_defaults(run=_failures)

    show = add_command(
        commands,
        "show",
        help="show a request's outcome with all its attempts",
        example="python -m outcomes show 0199c1b0-0000-7000-8000-000000000001",
    )
    show.add_argument("id", help="id of the request")
    show.add_argument("--json", action="store_true", help="print JSON")
    show.set_defaults(run=_show)

    dead = add_command(
        commands,
        "dead",
        help="list dead letters and how each was resolved",
        example="python -m outcomes dead --since 1d --limit 20",
    )
    dead.add_argument(
        "--since",
        type=duration_argument,
        default="7d",
        metavar="T",
        help="length of the window, such as 1h or 7d (default: 7d)",
    )
    dead.add_argument("--limit", type=int, default=100, help="maximum number, latest first (default: 100)")
    dead.add_argument("--json", action="store_true", help="print JSON")
    dead.set_defaults(run=_dead)


def _failures(asked: argparse.Namespace) -> int:
    now = datetime.now(UTC)
    with connected(_url(), name="straightline-failures") as connection:
        found = failures(connection, now - asked.since, now, model=asked.model)
    print(to_json(found) if asked.json else failures_text(found), end="\n" if asked.json else "")
    return 0


def _show(asked: argparse.Namespace) -> int:
    with connected(_url(), name="straightline-show") as connection:
        outcome = outcome_of(connection, asked.id)
        duplicates = duplicate_requests_of(connection, asked.id)
    if outcome is None:
        print(
            f"outcomes: request {asked.id} has no outcome: it is unfinished, or was never submitted",
            file=sys.stderr,
        )
        return NOT_FOUND
    text = to_json(outcome) if asked.json else outcome_text(outcome, duplicates)
    print(text, end="\n" if asked.json else "")
    return 0


def _dead(asked: argparse.Namespace) -> int:
    since = datetime.now(UTC) - asked.since
    with connected(_url(), name="straightline-dead") as connection:
        found = dead_letters(connection, since, limit=max(1, asked.limit))
    print(to_json(found) if asked.json else dead_text(found), end="\n" if asked.json else "")
    return 0


def _url() -> str:
    return load(QuerySettings, os.environ).database_url
