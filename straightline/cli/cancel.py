"""`straightline cancel`: take a request back."""

import argparse
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from straightline.cli.exits import EXIT_CODES, SUCCEEDED
from straightline.client import Client
from straightline.contracts.cancel import Verdict
from straightline.settings import load

WORDS: Final[Mapping[Verdict | None, str]] = {
    "cancelled": "is cancelled",
    "noted": "is on its way: it ends cancelled where it has no answer before",
    "ended": "had its outcome already, which stands",
    "unknown": "is not known here: should it come, or wait in a pool, it ends cancelled",
    None: "will be cancelled: the broker has the wish safe, no scheduler has answered yet",
}


class Settings(msgspec.Struct, frozen=True):
    """What this command reads from the environment."""

    broker_url: str


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "cancel",
        help="take a request back",
        description="Take a request back. What has ended stays as it ended, and an unknown id does no harm.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("id", metavar="ID", help="of the request")
    parser.add_argument(
        "--timeout", type=float, default=5.0, metavar="S", help="seconds to wait for an answer (default 5)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON: {id, verdict}")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Send the wish and print what is known of the request.

    Raises:
        StraightLineError: any of what `Client` raises.
    """
    with Client(load(Settings, environ).broker_url, confirm_timeout=10.0) as client:
        verdict = client.cancel(arguments.id, arguments.timeout)
    if arguments.json:
        print(msgspec.json.encode({"id": arguments.id, "verdict": verdict}).decode())
    else:
        print(f"{arguments.id} {WORDS[verdict]}")
    return SUCCEEDED
