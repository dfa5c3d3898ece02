"""The commands of `python -m outcomes`."""

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from outcomes.cli import keys, maintenance
from outcomes.cli.exit_codes import EXIT_CODES, FAILED, NOT_KNOWN, exit_code
from outcomes.cli.report import failures_text, outcome_text
from outcomes.db.database import connected
from outcomes.queries.failures import failures
from outcomes.queries.outcomes import duplicate_requests_of, outcome_of
from outcomes.queries.query_results import Failures
from outcomes.service import run_reconciler, run_recorder
from outcomes.settings import QuerySettings, ReconcilerSettings, RecorderSettings
from straightline.errors import StraightLineError
from straightline.settings import load
from straightline.support import failpoints, logs
from straightline.support.durations import duration_argument


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        What `outcomes.cli.exit_codes.EXIT_CODES` says, with one line on stderr where it could not be done.
    """
    asked = _parser().parse_args(arguments)
    try:
        return int(asked.run(asked))
    except StraightLineError as error:
        print(f"outcomes: {error}", file=sys.stderr)
        return FAILED if asked.run in (_record, _reconcile) else exit_code(error)
    except BrokenPipeError:  # `| head`
        sys.stderr.close()
        return 0


def _record(_asked: argparse.Namespace) -> int:
    logs.set_up()
    failpoints.configure(os.environ)
    return run_recorder(load(RecorderSettings, os.environ))


def _reconcile(_asked: argparse.Namespace) -> int:
    logs.set_up()
    failpoints.configure(os.environ)
    return run_reconciler(load(ReconcilerSettings, os.environ))


def _failures(asked: argparse.Namespace) -> int:
    now = datetime.now(UTC)
    with connected(_url(), name="straightline-failures") as connection:
        found = failures(connection, now - asked.since, now, model=asked.model)
    print(_json(found) if asked.json else failures_text(found), end="\n" if asked.json else "")
    return 0


def _show(asked: argparse.Namespace) -> int:
    with connected(_url(), name="straightline-show") as connection:
        outcome, repeats = outcome_of(connection, asked.id), duplicate_requests_of(connection, asked.id)
    if outcome is None:
        print(f"outcomes: request {asked.id} has no outcome yet, or never came", file=sys.stderr)
        return NOT_KNOWN
    print(_json(outcome) if asked.json else outcome_text(outcome, repeats), end="\n" if asked.json else "")
    return 0


def _json(answer: Failures | msgspec.Struct) -> str:
    return msgspec.json.format(msgspec.json.encode(answer), indent=2).decode("utf-8", "replace")


def _url() -> str:
    return load(QuerySettings, os.environ).database_url


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m outcomes",
        description="The ledger of StraightLine: how every request ended, in Postgres.",
        epilog="STRAIGHTLINE_DATABASE_URL says which database;\n"
        "`migrate`, `retain` and `keys` take the owner's URL in STRAIGHTLINE_DATABASE_OWNER_URL, if set;\n"
        "`record` and `reconcile` need STRAIGHTLINE_BROKER_URL too.\n\n" + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    record = commands.add_parser(
        "record", help="write outcomes from the queue into the ledger, until SIGTERM"
    )
    record.set_defaults(run=_record)

    reconcile = commands.add_parser(
        "reconcile", help="end what was lost and see to dead letters, until SIGTERM; one of several works"
    )
    reconcile.set_defaults(run=_reconcile)

    rates = commands.add_parser("failures", help="failure rates of backends and models")
    rates.add_argument(
        "--since", type=duration_argument, default="1h", help="how far back: 30s, 15m, 1h, 7d (default 1h)"
    )
    rates.add_argument("--model", help="this model alone")
    rates.add_argument("--json", action="store_true", help="JSON instead of a table")
    rates.set_defaults(run=_failures)

    show = commands.add_parser("show", help="one request's outcome, with all that was tried")
    show.add_argument("id", help="the request's id")
    show.add_argument("--json", action="store_true", help="JSON instead of text")
    show.set_defaults(run=_show)

    keys.add(commands)
    maintenance.add(commands)
    return parser
