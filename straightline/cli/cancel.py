"""`straightline cancel`: take a request back."""

import argparse
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from straightline.cli.command import add_command, identity, print_json, seconds
from straightline.cli.exits import SUCCEEDED
from straightline.cli.gateway import open_gateway
from straightline.contracts.answers import RequestStatus
from straightline.contracts.cancel import Verdict
from straightline.settings import load
from straightline.terminal import printable

WORDS: Final[Mapping[Verdict | None, str]] = {
    "cancelled": "is cancelled",
    "noted": "is on its way: it ends cancelled where it has no answer before",
    "ended": "had its outcome already, which stands",
    "unknown": "is not known here: should it come, or wait in a pool, it ends cancelled",
    None: "will be cancelled: the broker has the wish safe, no scheduler has answered yet",
}


class Settings(msgspec.Struct, frozen=True):
    """What this command reads from the environment, where it does not ask the gateway."""

    broker_url: str


def add_to(commands: Any) -> None:
    """Add the command to the parser's."""
    parser = add_command(
        commands,
        "cancel",
        help="take a request back",
        description="Take a request back. What has ended stays as it ended, and an unknown id does no harm. "
        "The wish goes to the broker at STRAIGHTLINE_BROKER_URL, or, where that is not set, to the gateway "
        "at STRAIGHTLINE_GATEWAY_URL.",
        json="print JSON: {id, verdict}, or the status that the gateway tells",
    )
    parser.add_argument("id", type=identity, metavar="ID", help="of the request")
    parser.add_argument(
        "--timeout", type=seconds, default=5.0, metavar="S", help="seconds to wait for an answer (default 5)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Send the wish and print what is known of the request.

    Raises:
        StraightLineError: any of what `Client.cancel` or `Gateway.delete` raises.
    """
    if environ.get("STRAIGHTLINE_BROKER_URL"):
        _ask_broker(arguments, load(Settings, environ).broker_url)
    else:
        _ask_gateway(arguments, environ)
    return SUCCEEDED


def _ask_broker(arguments: argparse.Namespace, broker_url: str) -> None:
    from straightline.client import Client  # noqa: PLC0415 - other commands need no broker

    with Client(broker_url, confirm_timeout=10.0) as client:
        verdict = client.cancel(arguments.id, arguments.timeout)
    if arguments.json:
        print_json({"id": arguments.id, "verdict": verdict})
    else:
        print(f"{arguments.id} {WORDS[verdict]}")


def _ask_gateway(arguments: argparse.Namespace, environ: Mapping[str, str]) -> None:
    status = open_gateway(environ).delete(RequestStatus, "requests", arguments.id)
    if arguments.json:
        print_json(status)
    else:
        end = "is being cancelled" if status.cancelling else f"had its outcome already: {status.state}"
        print(printable(f"{status.id} {end}"))
