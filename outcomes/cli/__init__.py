"""The commands of `python -m outcomes`."""

import argparse
import sys
from collections.abc import Sequence

from outcomes.cli import keys, maintenance, processes, queries
from outcomes.cli.exit_codes import EXIT_CODES, FAILED, exit_code
from straightline.errors import StraightLineError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        An exit code of `outcomes.cli.exit_codes.EXIT_CODES`; a failure prints one line on stderr.
    """
    asked = _parser().parse_args(arguments)
    try:
        return int(asked.run(asked))
    except StraightLineError as error:
        print(f"outcomes: {error}", file=sys.stderr)
        return FAILED if asked.run in processes.COMMANDS else exit_code(error)
    except BrokenPipeError:  # `| head`
        sys.stderr.close()
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m outcomes",
        description="Operate the ledger of StraightLine: the final outcome of every request, in Postgres.",
        epilog="environment:\n"
        "  STRAIGHTLINE_DATABASE_URL        the database\n"
        "  STRAIGHTLINE_DATABASE_OWNER_URL  the owner's URL, for `migrate`, `retain` and `keys`\n"
        "  STRAIGHTLINE_BROKER_URL          the broker, for `record` and `reconcile`\n\n" + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (processes, queries, keys, maintenance):
        module.register(commands)
    return parser
