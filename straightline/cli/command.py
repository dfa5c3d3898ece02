"""What the commands share: parsers with examples, argument types, JSON output."""

import argparse
import textwrap
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from straightline.cli.exit_codes import EXIT_CODE_HELP, SUCCEEDED
from straightline.ids import canonical

T = TypeVar("T")
GATEWAY_NOTE: Final = " Queries the gateway at STRAIGHTLINE_GATEWAY_URL with the key in STRAIGHTLINE_API_KEY."
HELP_WIDTH: Final = 95
"""Characters of a line of a command's description."""


def add_command(
    commands: Any,
    name: str,
    *,
    help: str,  # noqa: A002 - argparse's word
    description: str,
    example: str,
    json: str = "print JSON",
) -> argparse.ArgumentParser:
    """Add a parser with `--json`, an example and the exit codes.

    Args:
        commands: the subparsers to add it to.
        name: the command's name.
        help: a few words for the list of commands.
        description: sentences for the command's own help.
        example: a command line that works as printed.
        json: what `--json` prints.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help,
        description=textwrap.fill(description, HELP_WIDTH, break_on_hyphens=False),
        epilog=f"example:\n  {example}\n\n{EXIT_CODE_HELP}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help=json)
    return parser


def add_request_id(parser: argparse.ArgumentParser) -> None:
    """Add the positional argument that names a request."""
    parser.add_argument("id", type=request_id, metavar="ID", help="UUID of the request")


def add_confirm_timeout(parser: argparse.ArgumentParser) -> None:
    """Add the time after which the broker counts as unreachable."""
    parser.add_argument(
        "--confirm-timeout",
        type=seconds,
        default=10.0,
        metavar="S",
        help="seconds until an unconfirmed publish counts as broker unavailable (default: 10)",
    )


def complete_path(action: argparse.Action) -> None:
    """Make completion scripts offer files as the values of an argument."""
    action.complete = "file"  # type: ignore[attr-defined] # shtab's name of such a completion


def request_id(text: str) -> str:
    """Parse the id of a request into its canonical form."""
    found = canonical(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a UUID")
    return found


def seconds(text: str) -> float:
    """Parse a number of seconds that a wait can take."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= threading.TIMEOUT_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds >= 0")
    return value


def print_answer(arguments: argparse.Namespace, answer: T, text: Callable[[T], str]) -> int:
    """Print an answer, as JSON with `--json`, otherwise as `text` formats it; return exit code 0."""
    if arguments.json:
        print_json(answer)
    else:
        print(text(answer))
    return SUCCEEDED


def print_json(answer: object) -> None:
    """Print an answer as indented JSON."""
    print(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode())
