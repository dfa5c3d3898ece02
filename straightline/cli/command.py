"""What every command has alike: its parser, and how it prints JSON."""

import argparse
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from straightline.cli.exit_codes import EXIT_CODE_HELP, SUCCEEDED
from straightline.ids import canonical

T = TypeVar("T")
GATEWAY_NOTE = " Asks the gateway at STRAIGHTLINE_GATEWAY_URL with the key in STRAIGHTLINE_API_KEY."


def add_command(
    commands: Any,
    name: str,
    *,
    help: str,  # noqa: A002 - argparse's word
    description: str,
    json: str = "print JSON",
) -> argparse.ArgumentParser:
    """Add a parser with `--json`.

    Args:
        commands: where to.
        name: of the command.
        help: a few words in the list of commands.
        description: sentences in the command's own help.
        json: what `--json` prints.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help,
        description=description,
        epilog=EXIT_CODE_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help=json)
    return parser


def complete_path(action: argparse.Action) -> None:
    """Make completion scripts offer files as the values of an argument."""
    action.complete = "file"  # type: ignore[attr-defined] # shtab's name of such a completion


def request_id(text: str) -> str:
    """Read the id of a request from an argument, in its canonical form."""
    found = canonical(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a UUID, as requests' ids are")
    return found


def seconds(text: str) -> float:
    """Read how long to wait from an argument."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= threading.TIMEOUT_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, 0 or more")
    return value


def print_answer(arguments: argparse.Namespace, answer: T, text: Callable[[T], str]) -> int:
    """Print an answer as JSON where `--json` asks for it, else as `text` lays it out; return exit code 0."""
    if arguments.json:
        print_json(answer)
    else:
        print(text(answer))
    return SUCCEEDED


def print_json(answer: object) -> None:
    """Print an answer as JSON, indented for people as well."""
    print(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode())
