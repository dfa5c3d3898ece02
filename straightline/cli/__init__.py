"""The command line, `straightline`."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from straightline.cli import completion
from straightline.cli.commands import (
    backends,
    batch,
    cancel,
    failures,
    models,
    result,
    status,
    submit,
    sweep,
    why,
)
from straightline.cli.exit_codes import EXIT_CODE_HELP, USAGE, exit_code
from straightline.errors import StraightLineError
from straightline.support.terminal import printable

COMMANDS = (submit, batch, status, result, cancel, why, models, backends, failures, sweep)
"""In the order of the help."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; `straightline --help` lists the codes."""
    parser = make_parser()
    chosen = parser.parse_args(arguments)
    if not hasattr(chosen, "run"):
        parser.print_help(sys.stderr)
        return USAGE
    # Errors are printed below; the library's log is for programs that embed it.
    logging.getLogger("straightline").addHandler(logging.NullHandler())
    try:
        code: int = chosen.run(chosen, os.environ)
        sys.stdout.flush()
    except StraightLineError as error:
        print(f"straightline: {printable(str(error))}", file=sys.stderr)
        return exit_code(error)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of the output is gone; without this the interpreter would complain again on exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return code


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="straightline",
        description="Send machine-learning requests to StraightLine and query their status and results.",
        epilog=EXIT_CODE_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND")
    for command in COMMANDS:
        command.register(commands)
    completion.register(commands, make_parser)
    return parser
