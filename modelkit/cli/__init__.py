"""The command line `python -m modelkit`: one module for each command, with `register` and `run`."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from typing import Final

import msgspec

from modelkit.cli import compress, deploy, new, package, remove, rollback, train, validate
from modelkit.cli import list as listing
from modelkit.cli.exit_codes import EXIT_CODES, INTERRUPTED, USAGE, exit_code
from modelkit.cli.result import CommandResult
from straightline.errors import StraightLineError
from straightline.support.event_log import printable

COMMANDS: Final = (new, train, validate, compress, package, deploy, rollback, listing, remove)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code (see `modelkit.cli.exit_codes`)."""
    parser = argparse.ArgumentParser(
        prog="python -m modelkit",
        description="Train, validate, package and deploy a model project.",
        epilog=f"Run `python -m modelkit COMMAND --help` for the options of a command.\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND")
    for command in COMMANDS:
        command.register(commands)
    chosen = parser.parse_args(arguments)
    if not hasattr(chosen, "run"):
        parser.print_help(sys.stderr)
        return USAGE
    # Lost connections are reported by the error of the command; the deployer's own warnings go to stderr.
    logging.getLogger("straightline").addHandler(logging.NullHandler())
    try:
        result: CommandResult = chosen.run(chosen, os.environ)
    except StraightLineError as error:
        code = exit_code(error)
        text = printable(str(error), len(str(error)), keep="\n")
        print(f"modelkit: {text}", file=sys.stderr)
        if chosen.json:
            _print_json({"error": str(error), "error_class": type(error).__name__, "exit_code": code})
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    if chosen.json:
        _print_json(result.record)
    else:
        print(result.text)
    return result.code


def _print_json(record: object) -> None:
    print(msgspec.json.encode(record).decode())
